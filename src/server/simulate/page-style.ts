/** The look of the page: quiet, light or dark as the reader's system is, down to the width of a phone. */
export const pageStyle = `
:root {
  color-scheme: light dark;
  --page: #fbfbfc; --card: #fff; --ink: #1d2129; --soft: #636b78; --faint: #e6e8ec; --shade: rgba(222, 128, 40, .11); --edge: #b3651b;
  --good: #188054; --fair: #a8690a; --bad: #c8362f; --good-band: #b9dfcb; --fair-band: #eab04d; --bad-band: #dc5a52;
  --ca: #3a5bd9; --cb: #d2691e;
  --c0: #4a68dd; --c1: #2a9d8f; --c2: #d9932b; --c3: #c2507a; --c4: #7b5cc4; --c5: #3f9ac9; --c6: #7c9a36; --c7: #a2674a; --c8: #9aa1ac;
  --cerror: #c8362f;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #111317; --card: #181b20; --ink: #e7e9ed; --soft: #969eab; --faint: #2a2e36; --shade: rgba(236, 160, 84, .12); --edge: #e0a060;
    --good: #54c08e; --fair: #e3ab4d; --bad: #ef716b; --good-band: #285941; --fair-band: #a87a2b; --bad-band: #b4453f;
    --ca: #8aa2ff; --cb: #f0a065;
    --c0: #7f97f5; --c1: #4fc3b4; --c2: #e5b25c; --c3: #e07da2; --c4: #a78be8; --c5: #6dbde6; --c6: #a4c45e; --c7: #c98f72; --c8: #767e8a;
    --cerror: #ef716b;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.5 system-ui, -apple-system, "Segoe UI", "Helvetica Neue", Arial, sans-serif; }
main { max-width: 1080px; margin: 0 auto; padding: 44px 28px 72px; }
h1, h2, h3, p, ul, ol, figure, dl, dd { margin: 0; padding: 0; }
h1 { font-size: 27px; line-height: 1.2; font-weight: 650; letter-spacing: -.015em; overflow-wrap: anywhere; }
h2 { font-size: 17px; font-weight: 620; margin: 44px 0 14px; letter-spacing: -.005em; }
h3 { font-size: 14px; font-weight: 600; }
.meta { display: flex; flex-wrap: wrap; gap: 2px 20px; margin-top: 8px; color: var(--soft); font-size: 13.5px; overflow-wrap: anywhere; }
.cards { display: grid; grid-template-columns: repeat(6, minmax(0, 1fr)); gap: 1px; margin-top: 26px; background: var(--faint); border: 1px solid var(--faint); border-radius: 10px; overflow: hidden; }
.cards > div { background: var(--card); padding: 15px 18px 16px; }
.cards dt { color: var(--soft); font-size: 12.5px; }
.cards dd { font-size: 23px; line-height: 1.35; font-weight: 600; letter-spacing: -.015em; font-variant-numeric: tabular-nums; white-space: nowrap; }
.cards small { display: block; color: var(--soft); font-size: 12.5px; font-weight: 400; letter-spacing: 0; white-space: normal; }
.good { color: var(--good); } .fair { color: var(--fair); } .bad { color: var(--bad); }
.findings { list-style: none; margin-top: 22px; display: grid; gap: 7px; }
.whose { margin-top: 26px; overflow-wrap: anywhere; } .whose + .findings { margin-top: 10px; }
.findings li { position: relative; padding-left: 17px; max-width: 78ch; overflow-wrap: anywhere; }
.findings li::before { content: ""; position: absolute; left: 0; top: .62em; width: 6px; height: 6px; border-radius: 50%; background: var(--ca); }
.findings.b li::before { background: var(--cb); }
.phases { list-style: none; margin-top: 24px; display: flex; flex-wrap: wrap; gap: 6px 26px; font-size: 13.5px; }
.phases li { display: flex; gap: 8px; align-items: baseline; }
.phases span { color: var(--soft); }
.badge, .phases b { flex: none; display: inline-block; min-width: 17px; height: 17px; padding: 0 4px; border-radius: 9px; background: var(--card); border: 1px solid var(--edge); color: var(--edge); font-size: 10.5px; line-height: 15px; font-weight: 650; text-align: center; font-style: normal; }
.chart { margin-top: 30px; }
figcaption { display: flex; flex-wrap: wrap; justify-content: space-between; align-items: baseline; gap: 2px 20px; }
.note { color: var(--soft); font-size: 13px; }
.legend { list-style: none; display: flex; flex-wrap: wrap; gap: 2px 16px; font-size: 13px; color: var(--soft); }
.legend li { display: flex; align-items: center; gap: 6px; overflow-wrap: anywhere; }
.key { flex: none; width: 11px; height: 11px; border-radius: 3px; background: var(--c); }
.key.dashed { height: 0; border-radius: 0; background: none; border-top: 2px dashed var(--c); }
.frame { display: grid; grid-template-columns: 58px minmax(0, 1fr); margin-top: 10px; }
.scale { position: relative; font-size: 11.5px; color: var(--soft); font-variant-numeric: tabular-nums; }
.scale span { position: absolute; right: 10px; transform: translateY(-50%); white-space: nowrap; }
.plot { position: relative; height: 168px; border-bottom: 1px solid var(--faint); touch-action: pan-y; }
.plot.low { height: 104px; }
.plot svg { position: absolute; inset: 0; width: 100%; height: 100%; overflow: visible; }
.grid { stroke: var(--faint); stroke-width: 1; vector-effect: non-scaling-stroke; }
.phase { fill: var(--shade); }
.line { fill: none; stroke: var(--c); stroke-width: 1.6; stroke-linejoin: round; vector-effect: non-scaling-stroke; }
.line.dashed { stroke-dasharray: 5 4; }
.loss { fill: var(--cerror); fill-opacity: .16; }
.layer { fill: var(--c); fill-opacity: .82; stroke: var(--card); stroke-width: .6; vector-effect: non-scaling-stroke; }
.plot .badge { position: absolute; top: -9px; transform: translateX(-1px); }
.cursor { position: absolute; top: 0; bottom: 0; width: 1px; background: var(--soft); display: none; pointer-events: none; }
.time { position: relative; height: 20px; margin-left: 58px; font-size: 11.5px; color: var(--soft); font-variant-numeric: tabular-nums; }
.time span { position: absolute; top: 3px; transform: translateX(-50%); }
.time span:first-child { transform: none; } .time span:last-child { transform: translateX(-100%); }
.bands { margin: 8px 0 0 58px; display: grid; gap: 8px; }
.band .label { display: block; margin-bottom: 2px; font-size: 13px; overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
.track { position: relative; height: 14px; border-radius: 4px; background: var(--good-band); overflow: hidden; }
.track i { position: absolute; top: 0; bottom: 0; min-width: 1px; }
.track .open { background: var(--bad-band); } .track .half_open { background: var(--fair-band); }
.scroll { overflow-x: auto; border: 1px solid var(--faint); border-radius: 10px; background: var(--card); }
table { border-collapse: collapse; width: 100%; font-size: 13.5px; font-variant-numeric: tabular-nums; }
th, td { padding: 9px 14px; text-align: left; white-space: nowrap; }
th { font-weight: 500; color: var(--soft); font-size: 12.5px; border-bottom: 1px solid var(--faint); }
tr + tr td { border-top: 1px solid var(--faint); }
td.n, th.n { text-align: right; }
td small { color: var(--soft); font-size: 12.5px; }
td .key { display: inline-block; margin-right: 8px; }
.tag { display: inline-block; min-width: 18px; padding: 0 5px; border-radius: 5px; font-size: 12px; font-weight: 650; line-height: 18px; text-align: center; color: var(--card); background: var(--ca); }
.tag.b { background: var(--cb); }
#tip { position: fixed; z-index: 2; display: none; pointer-events: none; min-width: 150px; max-width: 320px; padding: 9px 12px; border-radius: 8px; background: var(--card); border: 1px solid var(--faint); box-shadow: 0 6px 22px rgba(0, 0, 0, .16); font-size: 12.5px; }
#tip b { display: block; font-weight: 600; margin-bottom: 3px; font-variant-numeric: tabular-nums; }
#tip div { display: flex; align-items: center; gap: 7px; }
#tip span { color: var(--soft); overflow: hidden; text-overflow: ellipsis; white-space: nowrap; }
#tip output { margin-left: auto; padding-left: 14px; font-variant-numeric: tabular-nums; white-space: nowrap; }
footer { margin-top: 44px; color: var(--soft); font-size: 13px; max-width: 78ch; }
@media (max-width: 1000px) { .cards { grid-template-columns: repeat(3, minmax(0, 1fr)); } }
@media (max-width: 600px) {
  main { padding: 26px 16px 48px; }
  h1 { font-size: 23px; }
  .cards { grid-template-columns: repeat(2, minmax(0, 1fr)); }
  .cards > div { padding: 12px 14px 13px; }
  .cards dd { font-size: 19px; }
  .frame { grid-template-columns: 46px minmax(0, 1fr); }
  .time, .bands { margin-left: 46px; }
  .time span:nth-child(even) { display: none; }
  .scale span { right: 8px; }
  th, td { padding: 8px 9px; }
  .compared th, .compared td { padding: 8px 6px; white-space: normal; font-size: 12.5px; }
  .plot { height: 140px; }
  .plot.low { height: 90px; }
}
@media print { .scroll { overflow: visible; } body { background: none; } }
`;

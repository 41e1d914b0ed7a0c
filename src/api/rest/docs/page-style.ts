/** The look of the page: quiet, light or dark as the reader's system is, down to the width of a phone. */
export const pageStyle = `
:root {
  color-scheme: light dark;
  --page: #fbfbfc; --card: #fff; --code: #f5f6f8; --ink: #1d2129; --soft: #5f6774; --faint: #e4e7ec; --accent: #3a5bd9; --on-accent: #fff;
  --good: #188054; --fair: #97600a; --bad: #c8362f; --good-wash: #e6f4ec; --bad-wash: #fbebea; --accent-wash: #ebeffc;
  --name: #1d2129; --string: #1d7a52; --value: #a8590a;
  --mono: ui-monospace, SFMono-Regular, "SF Mono", Menlo, Consolas, "Liberation Mono", monospace;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #111317; --card: #181b20; --code: #16181d; --ink: #e7e9ed; --soft: #9aa2af; --faint: #2a2e36; --accent: #8aa2ff; --on-accent: #10131c;
    --good: #54c08e; --fair: #e3ab4d; --bad: #ef716b; --good-wash: #16291f; --bad-wash: #341c1c; --accent-wash: #1c2338;
    --name: #e7e9ed; --string: #7fcfa6; --value: #e5b06b;
  }
}
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-padding-top: 76px; }
@media (prefers-reduced-motion: no-preference) { html { scroll-behavior: smooth; } }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.55 system-ui, -apple-system, "Segoe UI", "Helvetica Neue", Arial, sans-serif; }
h1, h2, h3, h4, p, ul, ol, dl, dd, figure, pre { margin: 0; padding: 0; }
a { color: var(--accent); text-decoration: none; }
a:hover { text-decoration: underline; }
:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; border-radius: 4px; }
code, pre, textarea, #try-key { font-family: var(--mono); font-size: 13px; }
p code, li code, dd code, td code, summary code, .lead code { padding: 1px 5px; border-radius: 5px; background: var(--code); border: 1px solid var(--faint); font-size: 12.5px; overflow-wrap: anywhere; box-decoration-break: clone; -webkit-box-decoration-break: clone; }
@media (min-width: 501px) { p code { white-space: nowrap; } }

.top { position: sticky; top: 0; z-index: 3; display: flex; align-items: center; gap: 11px; height: 52px; padding: 0 28px; background: var(--page); border-bottom: 1px solid var(--faint); }
.brand { display: flex; align-items: center; gap: 8px; color: var(--ink); font-size: 16px; font-weight: 650; letter-spacing: -.01em; }
.brand svg { color: var(--accent); }
.brand:hover { text-decoration: none; }
.version { margin-top: 2px; color: var(--soft); font-size: 12.5px; font-variant-numeric: tabular-nums; }
.file { margin-left: auto; font-family: var(--mono); font-size: 12.5px; }

nav { position: fixed; top: 52px; bottom: 0; left: 0; width: 248px; overflow-y: auto; padding: 22px 14px 40px 20px; border-right: 1px solid var(--faint); font-size: 13.5px; }
nav div { margin-bottom: 20px; }
nav b { display: block; margin: 0 8px 4px; color: var(--soft); font-size: 12px; font-weight: 600; }
nav a { display: flex; align-items: baseline; gap: 8px; padding: 4px 8px; border-radius: 6px; color: var(--ink); overflow-wrap: anywhere; }
nav a:hover { background: var(--code); text-decoration: none; }
nav a[aria-current] { background: var(--accent-wash); color: var(--accent); }
nav .method { flex: none; width: 32px; font-size: 10px; }

main { margin-left: 248px; padding: 40px 44px 110px; max-width: 1290px; }
h1 { font-size: 30px; line-height: 1.2; font-weight: 660; letter-spacing: -.02em; }
h2 { margin-top: 64px; padding-bottom: 10px; border-bottom: 1px solid var(--faint); font-size: 13px; font-weight: 600; color: var(--soft); }
h3 { font-size: 21px; line-height: 1.3; font-weight: 640; letter-spacing: -.012em; }
h4 { margin: 28px 0 8px; font-size: 13.5px; font-weight: 620; }
.lead { margin-top: 10px; font-size: 17.5px; line-height: 1.5; color: var(--soft); }
.told > p, #errors > p { margin-top: 12px; max-width: 68ch; }
.told > ul { margin: 12px 0 0 20px; }

.route { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 1.06fr); gap: 0 44px; align-items: start; margin-top: 34px; }
.route + .route { margin-top: 44px; padding-top: 38px; border-top: 1px solid var(--faint); }
.route#overview { margin-top: 0; }
.seen { position: sticky; top: 76px; min-width: 0; }
#overview .seen, #try .seen { position: static; }
.address { display: flex; align-items: baseline; gap: 10px; }
.address code { padding: 0; border: 0; background: none; font-size: 14px; }
.method { font: 650 11px/1.5 var(--mono); letter-spacing: .02em; color: var(--good); }
.method.post { color: var(--accent); }
.told > .access { margin-top: 2px; color: var(--soft); font-size: 13.5px; }

dl.parameters dt { margin-top: 11px; display: flex; flex-wrap: wrap; align-items: baseline; gap: 2px 9px; }
dl.parameters dt:first-child { margin-top: 0; }
dl.parameters dt code { font-size: 13px; font-weight: 600; }
dl.parameters dt span { color: var(--soft); font-size: 12.5px; }
dl.parameters dt b { margin-left: 4px; color: var(--fair); font-weight: 600; }
dl.parameters dd { max-width: 66ch; color: var(--soft); font-size: 14px; line-height: 1.5; }
dl.answers { display: grid; grid-template-columns: 40px minmax(0, 1fr); gap: 8px 8px; font-size: 14px; }
dl.answers dt { font-weight: 620; font-variant-numeric: tabular-nums; }
dl.answers dd { color: var(--soft); }
dl.answers dd p + p { margin-top: 4px; }
.s2 { color: var(--good); } .s4 { color: var(--fair); } .s5 { color: var(--bad); }
.more { margin-top: 14px; }
summary { width: fit-content; color: var(--accent); font-size: 13.5px; cursor: pointer; }
.more[open] > summary { margin-bottom: 12px; }

.code { background: var(--code); border: 1px solid var(--faint); border-radius: 10px; overflow: hidden; }
.code + .code { margin-top: 12px; }
.code figcaption { display: flex; align-items: center; justify-content: space-between; gap: 12px; min-height: 37px; padding: 5px 8px 5px 15px; border-bottom: 1px solid var(--faint); color: var(--soft); font-size: 12.5px; }
.code pre { padding: 13px 15px 15px; overflow-x: auto; line-height: 1.6; }
.code pre:focus-visible { outline-offset: -2px; border-radius: 0 0 10px 10px; }
.code .n { color: var(--name); } .code .s { color: var(--string); } .code .v { color: var(--value); }
button { font: inherit; color: inherit; background: none; border: 1px solid transparent; border-radius: 7px; padding: 3px 10px; cursor: pointer; }
.copy { font-size: 12.5px; color: var(--soft); }
.copy:hover { color: var(--accent); background: var(--accent-wash); }
.tabs { display: flex; flex-wrap: wrap; gap: 5px; margin-bottom: 11px; }
.tabs button { padding: 2px 10px; font-size: 12.5px; color: var(--soft); border-color: var(--faint); }
.tabs button:hover { color: var(--ink); }
.tabs button[aria-pressed="true"] { color: var(--accent); background: var(--accent-wash); border-color: transparent; }
.example + .example { margin-top: 26px; }
[hidden] { display: none !important; }

label { display: flex; align-items: baseline; justify-content: space-between; gap: 12px; margin-bottom: 5px; font-size: 13.5px; font-weight: 600; }
label span { color: var(--soft); font-weight: 400; font-size: 12.5px; }
input + label { margin-top: 16px; }
input, textarea { display: block; width: 100%; padding: 9px 12px; color: inherit; background: var(--card); border: 1px solid var(--faint); border-radius: 8px; }
textarea { line-height: 1.6; resize: vertical; }
input:focus-visible, textarea:focus-visible { outline-offset: -1px; border-radius: 8px; }
::placeholder { color: var(--soft); opacity: .8; }
.told > .buttons { display: flex; align-items: center; gap: 10px; margin-top: 14px; }
.send { padding: 6px 20px; color: var(--on-accent); background: var(--accent); font-weight: 600; }
.send:hover { filter: brightness(1.08); }
#try-stop { padding: 6px 14px; border-color: var(--faint); }
.hint { color: var(--soft); font-size: 12.5px; }
#try-answer { display: flex; flex-direction: column; min-height: 318px; }
#try-answer[data-mood="good"] #try-status { color: var(--good); }
#try-answer[data-mood="bad"] #try-status { color: var(--bad); }
#try-status { overflow-wrap: anywhere; font-variant-numeric: tabular-nums; }
#try-hops { display: flex; flex-wrap: wrap; align-items: center; gap: 6px; padding: 12px 15px 0; list-style: none; }
#try-hops:empty { display: none; }
#try-hops li { display: flex; align-items: baseline; gap: 7px; padding: 2px 10px; border-radius: 7px; font-size: 12.5px; font-variant-numeric: tabular-nums; overflow-wrap: anywhere; }
#try-hops li + li { position: relative; margin-left: 17px; }
#try-hops li + li::before { content: "→"; position: absolute; left: -18px; color: var(--soft); }
#try-hops b { font-weight: 650; } #try-hops i { color: var(--soft); font-style: normal; }
#try-hops .good { background: var(--good-wash); } #try-hops .good b { color: var(--good); }
#try-hops .bad { background: var(--bad-wash); } #try-hops .bad b { color: var(--bad); }
#try-text { flex: 1; padding: 14px 15px; white-space: pre-wrap; overflow-wrap: anywhere; max-height: 420px; overflow-y: auto; }
#try-text:focus-visible { outline-offset: -2px; }
#try-text .error { color: var(--bad); }
#try-text .error:not(:first-child) { margin-top: 10px; }
#try-raw { border-top: 1px solid var(--faint); }
#try-raw summary { padding: 8px 15px; font-size: 12.5px; }
#try-raw pre { max-height: 300px; padding-top: 4px; overflow: auto; }

.scroll { margin-top: 18px; overflow-x: auto; border: 1px solid var(--faint); border-radius: 10px; background: var(--card); }
table { border-collapse: collapse; width: 100%; font-size: 14px; }
th, td { padding: 9px 15px; text-align: left; vertical-align: baseline; }
th { color: var(--soft); font-size: 12.5px; font-weight: 500; border-bottom: 1px solid var(--faint); }
tr + tr td { border-top: 1px solid var(--faint); }
td:first-child { font-weight: 620; font-variant-numeric: tabular-nums; }
td:nth-child(3) { min-width: 220px; }
td code { white-space: nowrap; }
td:last-child { color: var(--soft); }
#errors { margin-top: 30px; }

@media (max-width: 1080px) {
  .route { grid-template-columns: minmax(0, 1fr); }
  .seen { position: static; margin-top: 24px; }
  .told > p { max-width: 76ch; }
}
@media (max-width: 800px) {
  html { scroll-padding-top: 108px; }
  .top { padding: 0 18px; }
  nav { position: sticky; top: 52px; bottom: auto; z-index: 2; width: auto; display: flex; gap: 4px; padding: 6px 14px; overflow-x: auto; background: var(--page); border-right: 0; border-bottom: 1px solid var(--faint); scrollbar-width: none; }
  nav div { display: flex; flex: none; gap: 2px; margin: 0; }
  nav b { display: none; }
  nav a { white-space: nowrap; padding: 5px 10px; gap: 6px; }
  nav .method { width: auto; }
  main { margin-left: 0; padding: 28px 18px 72px; }
  h1 { font-size: 26px; }
  h2 { margin-top: 52px; }
  .lead { font-size: 16.5px; }
  .tabs { flex-wrap: nowrap; overflow-x: auto; margin: 0 -18px 11px; padding: 0 18px; scrollbar-width: none; }
  .tabs button { flex: none; }
  input, textarea { font-size: 16px; }
  .hint { display: none; }
  th, td { padding: 8px 11px; }
}
`;

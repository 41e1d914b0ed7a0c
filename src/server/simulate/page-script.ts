/** What the page does when somebody points at a chart: the time is marked in all of them, and its values are told. Nothing else. */
export const pageScript = `
const data = JSON.parse(document.getElementById("data").textContent);
const tip = document.getElementById("tip");
const plots = [...document.querySelectorAll(".plot")];
const cursors = [...document.querySelectorAll(".cursor")];
const two = (value) => String(value).padStart(2, "0");
const clock = (ms) => {
  const seconds = Math.round(ms / 1000);
  return two(Math.floor(seconds / 3600)) + ":" + two(Math.floor(seconds / 60) % 60) + ":" + two(seconds % 60);
};
const units = {
  percent: (value) => (value === 100 ? "100" : value.toFixed(value > 99 ? 3 : 1)) + " %",
  ms: (value) => (value < 1000 ? Math.round(value) + " ms" : (value / 1000).toFixed(1) + " s"),
  per_second: (value) => value.toFixed(value < 10 ? 1 : 0) + "/s",
};
const hide = () => {
  tip.style.display = "none";
  for (const cursor of cursors) cursor.style.display = "none";
};
const row = (name, colour, value) => {
  const line = document.createElement("div");
  const key = document.createElement("i");
  key.className = "key";
  key.style.setProperty("--c", "var(--c" + colour + ")");
  const label = document.createElement("span");
  label.textContent = name;
  const output = document.createElement("output");
  output.textContent = value;
  line.append(key, label, output);
  return line;
};
for (const plot of plots) {
  const chart = data.charts[Number(plot.dataset.chart)];
  const count = chart.series[0] ? chart.series[0].values.length : 0;
  plot.addEventListener("pointermove", (event) => {
    const box = plot.getBoundingClientRect();
    const index = Math.min(count - 1, Math.max(0, Math.floor(((event.clientX - box.left) / box.width) * count)));
    for (const cursor of cursors) {
      cursor.style.display = "block";
      cursor.style.left = ((index + 0.5) * 100) / count + "%";
    }
    const from = index * data.bucketMs;
    const head = document.createElement("b");
    head.textContent = clock(from) + " – " + clock(Math.min(from + data.bucketMs, data.durationMs));
    const format = units[chart.unit];
    const rows = chart.series
      .filter(({ values }) => values[index] !== null)
      .map(({ name, colour, values }) => row(name, colour, format(values[index])));
    tip.replaceChildren(head, ...rows);
    tip.style.display = "block";
    const left = event.clientX + 16 + tip.offsetWidth > innerWidth ? event.clientX - 16 - tip.offsetWidth : event.clientX + 16;
    tip.style.left = Math.max(8, left) + "px";
    tip.style.top = Math.max(8, Math.min(event.clientY + 14, innerHeight - tip.offsetHeight - 8)) + "px";
  });
  plot.addEventListener("pointerleave", hide);
}
addEventListener("scroll", hide, { passive: true });
`;

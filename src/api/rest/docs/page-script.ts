/** What the page does in a browser: fills in its own address, copies, shows one example at a time, and sends what is tried. */
export const pageScript = `
const all = (selector, within = document) => [...within.querySelectorAll(selector)];
const one = (id) => document.getElementById(id);

for (const place of all(".origin")) place.textContent = location.origin;

for (const button of all(".copy")) {
  button.addEventListener("click", async () => {
    const code = button.closest(".code").querySelector("pre");
    try {
      await navigator.clipboard.writeText(code.textContent);
      button.textContent = "Copied";
    } catch {
      // Pages that came without TLS may not write there; their readers can.
      getSelection().selectAllChildren(code);
      button.textContent = "Selected";
    }
  });
  for (const leaving of ["mouseleave", "blur"]) button.addEventListener(leaving, () => { button.textContent = "Copy"; });
}

for (const examples of all(".examples")) {
  const tabs = all(".tabs button", examples);
  const panels = all(".example", examples);
  const show = (index) => {
    tabs.forEach((tab, at) => tab.setAttribute("aria-pressed", String(at === index)));
    panels.forEach((panel, at) => { panel.hidden = at !== index; });
  };
  tabs.forEach((tab, index) => tab.addEventListener("click", () => show(index)));
  if (tabs.length > 0) show(0);
}

const links = new Map(all("nav a").map((link) => [link.hash.slice(1), link]));
const marked = new IntersectionObserver(
  (entries) => {
    for (const { target, isIntersecting } of entries) {
      if (!isIntersecting) continue;
      for (const [id, link] of links) {
        if (id !== target.id) { link.removeAttribute("aria-current"); continue; }
        link.setAttribute("aria-current", "true");
        const { parentElement: group } = link;
        const row = group.parentElement;
        if (row.scrollWidth > row.clientWidth) row.scrollLeft = link.offsetLeft - 24;
      }
    }
  },
  { rootMargin: "-18% 0px -78% 0px" },
);
for (const id of links.keys()) marked.observe(one(id));

const form = document.querySelector("#try form");
const answer = { box: one("try-answer"), status: one("try-status"), hops: one("try-hops"), text: one("try-text"), raw: one("try-raw") };
const rawText = answer.raw.querySelector("code");
let running;

const mood = (word) => { answer.box.dataset.mood = word; };
const say = (text) => { answer.status.textContent = text; };

const showHops = (line) => {
  const hops = line.split(", ").map((hop) => {
    const item = document.createElement("li");
    const [, name, result, time] = /^(\\S+) (\\S+) (\\S+)$/.exec(hop) || [hop, hop, "", ""];
    item.className = result === "open" || result === "ok" || result.startsWith("2") ? "good" : "bad";
    for (const [tag, text] of [["span", name], ["b", result], ["i", time]]) {
      const piece = document.createElement(tag);
      piece.textContent = text;
      item.append(piece, " ");
    }
    return item;
  });
  answer.hops.replaceChildren(...hops);
};

const said = (choice) => {
  const { content, reasoning_content, refusal } = (choice && (choice.delta || choice.message)) || {};
  return [reasoning_content, content, refusal].filter((text) => typeof text === "string").join("");
};

const showError = (error, wasPartial) => {
  mood("bad");
  const words = document.createElement("p");
  words.className = "error";
  words.textContent = (wasPartial ? "Broken off: " : "") + error.message;
  answer.text.append(words);
};

const showEvent = (event) => {
  const data = event.split(/\\r?\\n/).filter((line) => line.startsWith("data:")).map((line) => line.slice(5).trim()).join("\\n");
  const comment = /^: x-everhop-trail: (.+)$/m.exec(event);
  if (comment) showHops(comment[1]);
  if (data === "") return false;
  if (data === "[DONE]") return true;
  const chunk = JSON.parse(data);
  if (chunk.error) showError(chunk.error, chunk.error.partial === true);
  else for (const choice of chunk.choices || []) answer.text.append(said(choice));
  return chunk.error !== undefined;
};

const readStream = async (response) => {
  let rest = "";
  let ended = false;
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  for (let read = await reader.read(); !read.done; read = await reader.read()) {
    rawText.append(read.value);
    const events = (rest + read.value).split(/\\r?\\n\\r?\\n/);
    rest = events.pop();
    for (const event of events) ended = showEvent(event) || ended;
  }
  if (!ended) showError({ message: "the stream ended before it was whole" }, true);
};

const readWhole = async (response) => {
  const text = await response.text();
  let json;
  try { json = JSON.parse(text); } catch { json = {}; }
  rawText.append(json.error || json.choices ? JSON.stringify(json, undefined, 2) : text);
  if (!response.ok) showError(json.error || { message: text }, false);
  else answer.text.append((json.choices || []).map(said).join("\\n\\n"));
};

const send = async () => {
  if (running) running.abort();
  const mine = new AbortController();
  running = mine;
  for (const place of [answer.hops, answer.text, rawText]) place.replaceChildren();
  answer.raw.hidden = true;
  one("try-stop").hidden = false;
  mood("busy");
  say("Under way…");
  const key = one("try-key").value.trim();
  try {
    const response = await window.fetch("/v1/chat/completions", {
      method: "POST",
      headers: { "content-type": "application/json", ...(key && { authorization: "Bearer " + key }) },
      body: one("try-body").value,
      credentials: "omit",
      signal: mine.signal,
    });
    const provider = response.headers.get("x-everhop-provider");
    const head = [response.status + " " + response.statusText, provider && "by " + provider].filter(Boolean).join(" · ");
    say(head);
    answer.raw.hidden = false;
    const trail = response.headers.get("x-everhop-trail");
    if (trail) showHops(trail);
    const isStream = (response.headers.get("content-type") || "").startsWith("text/event-stream");
    await (isStream ? readStream(response) : readWhole(response));
    if (answer.box.dataset.mood === "busy") mood("good");
    const id = response.headers.get("x-request-id");
    if (id) say(head + " · " + id);
  } catch (error) {
    if (running !== mine) return;
    const stopped = mine.signal.aborted;
    mood(stopped ? "" : "bad");
    say(stopped ? "Stopped" : "No answer came");
    if (!stopped) showError({ message: error.message }, false);
  }
  if (running !== mine) return;
  running = undefined;
  one("try-stop").hidden = true;
};

form.addEventListener("submit", (event) => {
  event.preventDefault();
  send();
});
one("try-stop").addEventListener("click", () => running && running.abort());
one("try-body").addEventListener("keydown", (event) => {
  if (event.key !== "Enter" || !(event.ctrlKey || event.metaKey)) return;
  event.preventDefault();
  send();
});
`;

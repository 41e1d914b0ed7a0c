import { type Route, templateOf } from "../route.ts";
import { exampleOrigin } from "./curl.ts";
import { documentedFaults } from "./documented-faults.ts";
import { Html, html } from "./html.ts";
import { jsonText } from "./json-text.ts";
import type { Described } from "./open-api.ts";
import { pageScript } from "./page-script.ts";
import { pageStyle } from "./page-style.ts";
import { phrase } from "./prose.ts";
import { codeBlock, routeSection } from "./route-section.ts";

/** The documentation as one page that brings all that it needs. */
export function docsPage(routes: readonly Route[], described: Described): string {
  const groups = Map.groupBy(routes, ({ docs }) => docs.group);
  const page = html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Everhop · HTTP API</title>
<link rel="icon" href="${icon}">
<style>${new Html(pageStyle)}</style>
</head>
<body>
<header class="top"><a class="brand" href="#overview">${mark}Everhop</a><span class="version">${described.version}</span><a class="file" href="/openapi.json">openapi.json</a></header>
<nav aria-label="Contents">
<div><a href="#overview">Overview</a><a href="#try">Try it</a></div>
${[...groups].map(([group, members]) => html`<div><b>${group}</b>${members.map(navLink)}</div>`)}
<div><b>Failures</b><a href="#errors">Errors</a></div>
</nav>
<main>
${overview(described)}
${tryIt(described)}
${[...groups].map(([group, members]) => html`<h2>${group}</h2>${members.map((route) => routeSection(route, described))}`)}
${errors()}
</main>
<script>${new Html(pageScript)}</script>
</body>
</html>
`;
  return page.text;
}

const icon =
  "data:image/svg+xml,%3Csvg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 20 20'%3E%3Cpath d='M2 14c0-9 8-9 8 0 0-6 8-6 8 0' fill='none' stroke='%233a5bd9' stroke-width='2.4' stroke-linecap='round'/%3E%3C/svg%3E";

const mark = html`<svg viewBox="0 0 20 20" width="20" height="20" aria-hidden="true"><path d="M2 14c0-9 8-9 8 0 0-6 8-6 8 0" fill="none" stroke="currentColor" stroke-width="2.2" stroke-linecap="round"/></svg>`;

function navLink(route: Route): Html {
  const { docs, method } = route;
  return html`<a href="#${docs.operationId}"><span class="method ${method.toLowerCase()}">${method}</span>${shortPath(templateOf(route))}</a>`;
}

/** What tells it from its siblings. */
function shortPath(path: string): string {
  return path.replace(/^\/v1(?=\/)/, "");
}

function overview({ isOpen }: Described): Html {
  const key = isOpen ? "unused-here" : "YOUR_KEY";
  const client = html`import OpenAI from "openai";

const client = new OpenAI({
  baseURL: "<span class="origin">${exampleOrigin}</span>/v1",
  apiKey: "${key}",
});
const answer = await client.chat.completions.create({
  messages: [{ role: "user", content: "Hello!" }],
});`;
  return html`
<section class="route" id="overview">
<div class="told">
<h1>HTTP API</h1>
<p class="lead">OpenAI's API, answered by whichever provider can. Any client of it works here once its base URL is this address. Models and providers in the examples are examples: <code>GET /v1/models</code> lists those that are here.</p>
<p>A request hops from endpoint to endpoint until it lands, and every hop can be seen: on one line in the header <code>x-everhop-trail</code> of each answer, whole in the body when the request says <code>x-everhop-include-trail: true</code>.</p>
<h4>Keys</h4>
<p>${phrase(isOpen ? "This gateway is open: whoever reaches it is served, with any key or none. Where callers are configured they show a key as `Authorization: Bearer KEY` or `X-API-Key: KEY`." : "Callers show their key as `Authorization: Bearer KEY` or `X-API-Key: KEY`, operators theirs as `Authorization: Bearer KEY` or `X-Admin-Key: KEY`.")}</p>
<p>The same gateway speaks gRPC, gRPC-Web and Connect on this port; <a href="/openapi.json">openapi.json</a> is this page for programs.</p>
</div>
<div class="seen">${codeBlock("With OpenAI's client", client)}</div>
</section>`;
}

const firstBody = { messages: [{ role: "user", content: "Hello, who answers?" }], stream: true };

function tryIt({ isOpen }: Described): Html {
  return html`
<h2>Try it</h2>
<section class="route" id="try">
<form class="told">
<label for="try-key">Key ${isOpen && html`<span>none is needed here</span>`}</label>
<input id="try-key" type="password" autocomplete="off" spellcheck="false" placeholder="${isOpen ? "any, or none" : "a caller's key; it stays on this page"}">
<label for="try-body">Body <span>POST /v1/chat/completions</span></label>
<textarea id="try-body" rows="8" spellcheck="false" autocapitalize="off" autocomplete="off">${jsonText(firstBody)}</textarea>
<p class="buttons"><button type="submit" class="send">Send</button><button type="button" id="try-stop" hidden>Stop</button><span class="hint">Ctrl + Enter sends</span></p>
</form>
<div class="seen">
<figure class="code" id="try-answer"><figcaption><span id="try-status" role="status">The answer will stand here</span></figcaption>
<ol id="try-hops" aria-label="Hops"></ol>
<div id="try-text" tabindex="0" aria-live="polite"></div>
<details id="try-raw" hidden><summary>As it came</summary><pre tabindex="0"><code></code></pre></details>
</figure>
</div>
</section>`;
}

function errors(): Html {
  const rows = documentedFaults().map(({ http, code, when, hasWait, isFinal, endsStream }) => {
    const signs = [
      hasWait && "`retry-after`",
      isFinal && "`x-should-retry: false`",
      endsStream && "an event, no `[DONE]`",
    ];
    return html`<tr><td class="s${Math.floor(http / 100)}">${endsStream ? 200 : http}</td><td><code>${code}</code></td><td>${phrase(when)}</td><td>${phrase(signs.filter(Boolean).join(", "))}</td></tr>`;
  });
  return html`
<h2>Failures</h2>
<section id="errors">
<h3>Errors</h3>
<p>An error is OpenAI's: <code>error.code</code> says what it is, <code>error.message</code> says it in words, and <code>error.details</code> holds the request's id and, once routing has begun, the trail. While a stream has not had its first content an error is a status like any other; after it, the stream's last event.</p>
<div class="scroll" tabindex="0"><table><thead><tr><th>HTTP</th><th>code</th><th>when</th><th>comes with</th></tr></thead><tbody>${rows}</tbody></table></div>
</section>`;
}

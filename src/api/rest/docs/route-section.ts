import { type Route, templateOf } from "../route.ts";
import { curl, exampleOrigin } from "./curl.ts";
import { type Html, html } from "./html.ts";
import { coloured, jsonText } from "./json-text.ts";
import type { Described } from "./open-api.ts";
import { schemas } from "./open-api.ts";
import { parameterLists } from "./parameter-list.ts";
import { phrase, prose } from "./prose.ts";
import type { AnswerExample, ExampleDocs } from "./route-docs.ts";
import { faultsOf } from "./route-faults.ts";
import type { Schema } from "./schema.ts";
import { accessText } from "./security.ts";

/** A route on the page: what it is on one side, how it looks on the other. */
export function routeSection(route: Route, { isOpen }: Described): Html {
  const { docs, access } = route;
  return html`
<section class="route" id="${docs.operationId}">
<div class="told">
<h3>${docs.summary}</h3>
<p class="address"><b class="method ${route.method.toLowerCase()}">${route.method}</b> <code>${templateOf(route)}</code></p>
<p class="access">${accessText(access, isOpen)}</p>
${prose(docs.description)}
${parameterLists(docs, docs.body && resolved(docs.body))}
${answersOf(route)}
</div>
<div class="seen">${examplesOf(route, isOpen)}</div>
</section>`;
}

/** A schema, wherever it stands. */
function resolved(schema: Schema): Schema | undefined {
  const name = schema.$ref?.split("/").at(-1);
  return name === undefined ? schema : schemas[name];
}

/** More than these are folded away. */
const fewFaults = 3;

function answersOf(route: Route): Html {
  const good = route.docs.answers.map(({ status, description }) => row(status, prose(description)));
  const bad = [...faultsOf(route)].map(([status, faults]) =>
    row(
      status,
      faults.map(({ code, when }) => html`<p><code>${code}</code> ${phrase(when)}</p>`),
    ),
  );
  if (bad.length <= fewFaults) return html`<h4>Answers</h4><dl class="answers">${good}${bad}</dl>`;
  return html`<h4>Answers</h4><dl class="answers">${good}</dl>
<details class="more"><summary>Failures, of ${bad.length} statuses</summary><dl class="answers">${bad}</dl></details>`;
}

function row(status: number, text: readonly Html[]): Html {
  return html`<dt class="s${Math.floor(status / 100)}">${status}</dt><dd>${text}</dd>`;
}

function examplesOf(route: Route, isOpen: boolean): Html {
  const { examples } = route.docs;
  const tabs =
    examples.length > 1 &&
    html`<div class="tabs">${examples.map(({ summary }) => html`<button type="button">${summary}</button>`)}</div>`;
  return html`<div class="examples">${tabs}${examples.map((example) => panel(route, example, isOpen))}</div>`;
}

function panel(route: Route, example: ExampleDocs, isOpen: boolean): Html {
  const command = curl(route, example, isOpen);
  const [before = "", after = ""] = command.split(exampleOrigin, 2);
  return html`<div class="example">
${codeBlock("Request", html`${before}<span class="origin">${exampleOrigin}</span>${coloured(after)}`)}
${codeBlock(`Answer, ${example.answer.status}`, html`${coloured(answerText(example.answer))}`)}
</div>`;
}

function answerText({ media, value }: AnswerExample): string {
  return media === "application/json" ? jsonText(value) : String(value).trimEnd();
}

/** Code with its title and a button that copies it. */
export function codeBlock(title: string, code: Html): Html {
  return html`<figure class="code"><figcaption><span>${title}</span><button type="button" class="copy">Copy</button></figcaption><pre tabindex="0"><code>${code}</code></pre></figure>`;
}

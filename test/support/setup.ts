import fc from "fast-check";

/** Property tests draw the same cases every time; `EVERHOP_SEED` draws others. */
const seed = Number(process.env["EVERHOP_SEED"] ?? 20_260_101);

fc.configureGlobal({ seed });

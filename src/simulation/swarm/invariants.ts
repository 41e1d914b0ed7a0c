import type { Invariant } from "./facts.ts";
import {
  attemptsCapped,
  nobodyTwice,
  nothingTooLate,
  oneRecovery,
  outageNotMultiplied,
  rotationsBounded,
} from "./invariants/attempts.ts";
import {
  exactMoves,
  faultsAreHeard,
  lateResultsDropped,
  legalMoves,
  neutralIsNeutral,
  notTheEndpointsFault,
  oneProbe,
  openForAsLong,
  permitsReturn,
  resultsStayHome,
} from "./invariants/breakers.ts";
import { bestTierFirst, chosenMayServe, fairShares, neverFails } from "./invariants/choice.ts";
import { breakersClose, keysReturn, trafficComesHome } from "./invariants/convergence.ts";
import { endsInTime, endsLast, nothingPending, oneEnding, oneSnapshot } from "./invariants/endings.ts";
import { keysStayHome, restingKeysRest } from "./invariants/keys.ts";
import { countsAreTrue, placesHold, ratesHold, repeatsBounded } from "./invariants/limits.ts";
import { hedgesBounded, loserGivenUp, oneVoice, wholeOrMarked } from "./invariants/streams.ts";
import { backoffBounded, linesFair, linesPatient, patienceBounded, retryAfterHonoured } from "./invariants/waits.ts";

/** All that must hold within one run, whatever the weather. */
export const invariants: readonly Invariant[] = [
  ...[oneEnding, endsInTime, endsLast, nothingPending, oneSnapshot],
  ...[attemptsCapped, outageNotMultiplied, rotationsBounded, nobodyTwice, nothingTooLate, oneRecovery],
  ...[retryAfterHonoured, patienceBounded, backoffBounded, linesPatient, linesFair],
  ...[bestTierFirst, chosenMayServe, fairShares, neverFails],
  ...[legalMoves, oneProbe, permitsReturn, exactMoves, openForAsLong, lateResultsDropped, neutralIsNeutral],
  ...[notTheEndpointsFault, faultsAreHeard, resultsStayHome],
  ...[restingKeysRest, keysStayHome],
  ...[ratesHold, placesHold, countsAreTrue, repeatsBounded],
  ...[oneVoice, wholeOrMarked, hedgesBounded, loserGivenUp],
  ...[breakersClose, trafficComesHome, keysReturn],
];

import type { RouteObserver } from "../../routing/observer.ts";
import type { RequestWatcher } from "../request-record.ts";
import type { MetricFamily } from "./family.ts";
import { HopMetrics } from "./hop-metrics.ts";
import { RequestMetrics } from "./request-metrics.ts";
import { type MetricScope, ScopeNames } from "./scope.ts";

/** Counts requests and hops, and asks everybody else how they are when somebody collects. */
export interface Metrics {
  readonly watcher: RequestWatcher;
  readonly observer: RouteObserver;
  /** All figures as they are now. */
  collect(): readonly MetricFamily[];
  /** Goes on with the names of another configuration; figures of what it does not name any more are forgotten. */
  adopt(scope: MetricScope): void;
}

/** @param gauges figures that nobody counts: they are asked for with the names that may stand in them */
export function createMetrics(scope: MetricScope, gauges: (names: ScopeNames) => readonly MetricFamily[]): Metrics {
  let names = new ScopeNames(scope);
  const requests = new RequestMetrics(names);
  const hops = new HopMetrics(names);
  return {
    watcher: requests,
    observer: {
      attemptEnded: (trail, attempt) => hops.attemptEnded(trail, attempt),
      skipped: (trail, skip) => hops.skipped(trail, skip),
      waited: (trail, wait) => hops.waited(trail, wait),
      breakerChanged: (endpoint, state) => hops.breakerChanged(endpoint, state),
    },
    collect: () => [...requests.collect(), ...hops.collect(), ...gauges(names)],
    adopt(next) {
      names = new ScopeNames(next);
      requests.adopt(names);
      hops.adopt(names);
    },
  };
}

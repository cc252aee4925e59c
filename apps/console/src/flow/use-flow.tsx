import { createContext, type ReactNode, useContext, useMemo, useState } from "react";
import type { Flow } from "../api/types/flow.ts";
import { useEvents } from "../api/use-events.ts";
import { type FlowRates, flowRates } from "./flow-rates.ts";
import { type Finding, judgeFlow } from "./judge-flow.ts";

/** The path as it is now and was in the last minutes. */
export interface FlowView {
  /** Oldest first; empty until the first look has arrived. */
  looks: readonly Flow[];
  rates: FlowRates;
  findings: readonly Finding[];
  /** Whether news arrives. */
  live: boolean;
}

const KEPT = 300;
const Context = createContext<FlowView>({
  looks: [],
  rates: { accepted: null, settled: {} },
  findings: [],
  live: false,
});

/** Watches the path for all pages, so that trouble is seen from everywhere. */
export function FlowProvider({ children }: { children: ReactNode }) {
  const [looks, setLooks] = useState<readonly Flow[]>([]);
  const live = useEvents<Flow>("/api/v1/flow/live", "flow", (look) =>
    setLooks((before) => [...before.slice(1 - KEPT), look]),
  );
  const view = useMemo(
    () => ({ looks, rates: flowRates(looks), findings: judgeFlow(looks), live }),
    [looks, live],
  );
  return <Context value={view}>{children}</Context>;
}

/** See {@link FlowView}. */
export const useFlow = (): FlowView => useContext(Context);

import { useEffect, useState } from "react";

/** State that an EventTarget's events change: `reduce(state, event)`, as with useReducer. */
export function useEvents(target, types, reduce, initial) {
  const [state, setState] = useState(initial);
  useEffect(() => {
    const controller = new AbortController();
    const listener = (event) => setState((state) => reduce(state, event));
    for (const type of types) target.addEventListener(type, listener, { signal: controller.signal });
    return () => controller.abort();
    // The types and the reducer are constants of the modules that use this.
  }, [target]);
  return state;
}

//! The platform's clock, timers and randomness.

use std::cell::Cell;

use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = performance, js_name = now)]
    fn monotonic() -> f64;
    #[wasm_bindgen(thread_local_v2, js_namespace = performance, js_name = timeOrigin)]
    static ORIGIN: f64;
    #[wasm_bindgen(js_name = setTimeout)]
    fn set_timeout(call: &JsValue, after: f64) -> JsValue;
    #[wasm_bindgen(js_name = clearTimeout)]
    fn clear_timeout(timer: &JsValue);
    #[wasm_bindgen(js_name = queueMicrotask)]
    fn queue_microtask(call: &JsValue);
    #[wasm_bindgen(js_namespace = crypto, js_name = getRandomValues)]
    fn fill_random(bytes: &mut [u8]);
    #[wasm_bindgen(js_name = addEventListener)]
    fn add_event_listener(kind: &str, call: &JsValue);
    #[wasm_bindgen(js_name = removeEventListener)]
    fn remove_event_listener(kind: &str, call: &JsValue);
}

/// Milliseconds since the epoch, on a clock that never goes back.
pub(super) fn now() -> u64 {
    (ORIGIN.with(|origin| *origin) + monotonic()) as u64
}

/// Unpredictable bytes.
pub(super) fn random<const N: usize>() -> [u8; N] {
    let mut bytes = [0; N];
    fill_random(&mut bytes);
    bytes
}

/// A timer that can be set again and again, and is cleared when dropped.
pub(super) struct Timer {
    call: Closure<dyn FnMut()>,
    set: Option<(JsValue, u64)>,
}

impl Timer {
    pub(super) fn new(call: impl FnMut() + 'static) -> Self {
        Self { call: Closure::new(call), set: None }
    }

    /// Calls at `at` or earlier. A call that comes too early does no harm and costs less than setting anew.
    pub(super) fn set(&mut self, at: u64) {
        /// What `setTimeout` can hold.
        const LONGEST: u64 = i32::MAX as u64;
        if self.set.as_ref().is_some_and(|(_, already)| *already <= at) {
            return;
        }
        self.clear();
        let after = at.saturating_sub(now()).min(LONGEST);
        self.set = Some((set_timeout(call_of(&self.call), after as f64), at));
    }

    /// It has called.
    pub(super) fn called(&mut self) {
        self.set = None;
    }

    fn clear(&mut self) {
        if let Some((timer, _)) = self.set.take() {
            clear_timeout(&timer);
        }
    }
}

impl Drop for Timer {
    fn drop(&mut self) {
        self.clear();
    }
}

/// A function to call once the page's code that runs now has returned.
pub(super) struct Soon {
    call: Closure<dyn FnMut()>,
    queued: Cell<bool>,
}

impl Soon {
    pub(super) fn new(call: impl FnMut() + 'static) -> Self {
        Self { call: Closure::new(call), queued: Cell::new(false) }
    }

    /// Sees to it that the call comes.
    pub(super) fn call(&self) {
        if !self.queued.replace(true) {
            queue_microtask(call_of(&self.call));
        }
    }

    /// It has come.
    pub(super) fn called(&self) {
        self.queued.set(false);
    }
}

/// A listener for the global `online` event, removed when dropped.
pub(super) struct Online(Closure<dyn FnMut()>);

impl Online {
    pub(super) fn new(call: impl FnMut() + 'static) -> Self {
        let call = Closure::new(call);
        add_event_listener("online", call_of(&call));
        Self(call)
    }
}

impl Drop for Online {
    fn drop(&mut self) {
        remove_event_listener("online", call_of(&self.0));
    }
}

fn call_of(call: &Closure<dyn FnMut()>) -> &JsValue {
    call.as_ref()
}

//! One WebSocket. Dropping it means that nothing more is heard of it.

use tidegate_protocol::SUBPROTOCOL;
use wasm_bindgen::prelude::*;

#[wasm_bindgen]
extern "C" {
    type WebSocket;
    #[wasm_bindgen(constructor, catch)]
    fn new(url: &str, protocol: &str) -> Result<WebSocket, JsValue>;
    #[wasm_bindgen(method, structural, setter)]
    fn set_onopen(this: &WebSocket, call: &JsValue);
    #[wasm_bindgen(method, structural, setter)]
    fn set_onmessage(this: &WebSocket, call: &JsValue);
    #[wasm_bindgen(method, structural, setter)]
    fn set_onclose(this: &WebSocket, call: &JsValue);
    #[wasm_bindgen(method, structural, catch)]
    fn send(this: &WebSocket, frame: &str) -> Result<(), JsValue>;
    #[wasm_bindgen(method, structural, catch)]
    fn close(this: &WebSocket, code: u16, reason: &str) -> Result<(), JsValue>;

    /// A message that arrived.
    pub(super) type MessageEvent;
    #[wasm_bindgen(method, structural, getter)]
    pub(super) fn data(this: &MessageEvent) -> JsValue;

    /// The socket's end.
    pub(super) type CloseEvent;
    #[wasm_bindgen(method, structural, getter)]
    pub(super) fn code(this: &CloseEvent) -> u16;
    #[wasm_bindgen(method, structural, getter)]
    pub(super) fn reason(this: &CloseEvent) -> String;
}

/// What is called when something happens on a socket; made once and used for each socket in turn.
pub(super) struct Ears {
    /// It is open.
    pub(super) opened: Closure<dyn FnMut()>,
    /// A message arrived.
    pub(super) heard: Closure<dyn FnMut(MessageEvent)>,
    /// It is closed.
    pub(super) closed: Closure<dyn FnMut(CloseEvent)>,
}

/// An open or opening socket.
pub(super) struct Socket(WebSocket);

impl Socket {
    /// Begins to connect. `None`: the address is no WebSocket address, or the page may not connect to it.
    pub(super) fn connect(url: &str, ears: &Ears) -> Option<Self> {
        let socket = WebSocket::new(url, SUBPROTOCOL).ok()?;
        socket.set_onopen(ears.opened.as_ref());
        socket.set_onmessage(ears.heard.as_ref());
        socket.set_onclose(ears.closed.as_ref());
        Some(Self(socket))
    }

    /// Sends a text frame. What a closing socket does not take is lost, as it would be on the way.
    pub(super) fn send(&self, frame: &str) {
        let _ = self.0.send(frame);
    }

    /// Closes with a code and reason.
    pub(super) fn close(self, code: u16, reason: &str) {
        // A page may send 1000 and 3000–4999 only.
        let allowed = if code == 1000 || (3000..5000).contains(&code) { code } else { 1000 };
        let _ = self.0.close(allowed, reason);
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.0.set_onopen(&JsValue::NULL);
        self.0.set_onmessage(&JsValue::NULL);
        self.0.set_onclose(&JsValue::NULL);
        let _ = self.0.close(1000, "");
    }
}

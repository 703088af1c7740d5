//! One WebSocket. Dropping it means that nothing more is heard of it.

use tidegate_protocol::SUBPROTOCOL;
use wasm_bindgen::prelude::*;
use web_sys::{CloseEvent, MessageEvent, WebSocket};

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
        let socket = WebSocket::new_with_str(url, SUBPROTOCOL).ok()?;
        socket.set_onopen(Some(ears.opened.as_ref().unchecked_ref()));
        socket.set_onmessage(Some(ears.heard.as_ref().unchecked_ref()));
        socket.set_onclose(Some(ears.closed.as_ref().unchecked_ref()));
        Some(Self(socket))
    }

    /// Sends a text frame. What a closing socket does not take is lost, as it would be on the way.
    pub(super) fn send(&self, frame: &str) {
        let _ = self.0.send_with_str(frame);
    }

    /// Closes with a code and reason.
    pub(super) fn close(self, code: u16, reason: &str) {
        // A page may send 1000 and 3000–4999 only.
        let allowed = if code == 1000 || (3000..5000).contains(&code) { code } else { 1000 };
        let _ = self.0.close_with_code_and_reason(allowed, reason);
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        self.0.set_onopen(None);
        self.0.set_onmessage(None);
        self.0.set_onclose(None);
        let _ = self.0.close();
    }
}

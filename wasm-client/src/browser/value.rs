//! JSON that the browser's own `JSON.parse` decoded, as the protocol's frame decoder wants to look at it.
//!
//! The text of a frame is never copied into wasm memory, and of a batch's entries nothing is.

use tidegate_protocol::json::Value;
use wasm_bindgen::prelude::*;

/// A decoded JSON value that stays on the JavaScript side.
#[derive(Debug, Clone, PartialEq)]
pub struct Json(JsValue);

// The few things needed, and not js-sys: what a page downloads would hold a little of all that there is in it.
#[wasm_bindgen]
extern "C" {
    /// Any object, for the sake of `object[name]`.
    type Members;
    #[wasm_bindgen(method, structural, indexing_getter)]
    fn get(this: &Members, name: &str) -> JsValue;

    /// An array.
    pub(super) type List;
    #[wasm_bindgen(method, structural, indexing_getter)]
    pub(super) fn get(this: &List, at: u32) -> JsValue;
    #[wasm_bindgen(method, structural, getter)]
    pub(super) fn length(this: &List) -> u32;
    #[wasm_bindgen(js_namespace = Array, js_name = isArray)]
    fn is_array(value: &JsValue) -> bool;

    #[wasm_bindgen(js_namespace = Object, js_name = keys)]
    fn keys(value: &JsValue) -> Vec<String>;
    #[wasm_bindgen(js_namespace = JSON, js_name = parse, catch)]
    fn parse(text: &JsValue) -> Result<JsValue, JsValue>;
    #[wasm_bindgen(js_namespace = JSON, js_name = stringify)]
    fn stringify(value: &JsValue) -> Option<String>;
    #[wasm_bindgen(js_name = String)]
    type Text;
    #[wasm_bindgen(method, structural, getter)]
    fn length(this: &Text) -> u32;
}

/// The length of a string in UTF-16 units; `None` when it is no string.
pub(super) fn text_length(value: &JsValue) -> Option<u32> {
    value.is_string().then(|| value.unchecked_ref::<Text>().length())
}

impl Json {
    /// Decodes a message's text; `None` when it is not JSON.
    pub fn parse(text: &JsValue) -> Option<Self> {
        parse(text).ok().map(Self)
    }

    /// The value for JavaScript.
    pub fn as_js(&self) -> &JsValue {
        &self.0
    }

    fn list(&self) -> Option<&List> {
        is_array(&self.0).then(|| self.0.unchecked_ref())
    }

    /// The number of elements, if this is an array.
    pub fn length(&self) -> u32 {
        self.list().map_or(0, List::length)
    }
}

impl Value for Json {
    fn member(&self, name: &str) -> Option<Self> {
        if !self.0.is_object() {
            return None;
        }
        let value = self.0.unchecked_ref::<Members>().get(name);
        (!value.is_undefined() && !value.is_null()).then_some(Self(value))
    }

    fn names(&self) -> Vec<String> {
        if self.0.is_object() && !is_array(&self.0) { keys(&self.0) } else { Vec::new() }
    }

    fn items(&self) -> Option<Vec<Self>> {
        self.list().map(|list| (0..list.length()).map(|at| Self(list.get(at))).collect())
    }

    fn text(&self) -> Option<String> {
        self.0.as_string()
    }

    fn number(&self) -> Option<f64> {
        self.0.as_f64()
    }

    fn flag(&self) -> Option<bool> {
        self.0.as_bool()
    }

    fn json(&self) -> String {
        stringify(&self.0).unwrap_or_default()
    }
}

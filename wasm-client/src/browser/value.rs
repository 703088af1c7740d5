//! JSON that the browser's own `JSON.parse` decoded, as the protocol's frame decoder wants to look at it.
//!
//! The text of a frame is never copied into wasm memory, and of a batch's entries nothing is.

use js_sys::{Array, JSON, Object};
use tidegate_protocol::json::Value;
use wasm_bindgen::prelude::*;

/// A decoded JSON value that stays on the JavaScript side.
#[derive(Debug, Clone, PartialEq)]
pub struct Json(JsValue);

#[wasm_bindgen]
extern "C" {
    /// Any object, for the sake of `object[name]`.
    type Members;
    #[wasm_bindgen(method, structural, indexing_getter)]
    fn get(this: &Members, name: &str) -> JsValue;
}

impl Json {
    /// Decodes a message's text; `None` when it is not JSON.
    pub fn parse(text: &js_sys::JsString) -> Option<Self> {
        parse(text).ok().map(Self)
    }

    /// The value for JavaScript.
    pub fn as_js(&self) -> &JsValue {
        &self.0
    }

    /// The number of elements, if this is an array.
    pub fn length(&self) -> u32 {
        self.0.dyn_ref::<Array>().map_or(0, Array::length)
    }
}

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = JSON, js_name = parse, catch)]
    fn parse(text: &js_sys::JsString) -> Result<JsValue, JsValue>;
}

impl Value for Json {
    // JavaScript is given the frame itself; to read it here as well is 2 KiB more of a page's download.
    const READS_TOTALS: bool = cfg!(not(feature = "bus"));

    fn member(&self, name: &str) -> Option<Self> {
        if !self.0.is_object() {
            return None;
        }
        let value = self.0.unchecked_ref::<Members>().get(name);
        (!value.is_undefined() && !value.is_null()).then_some(Self(value))
    }

    fn names(&self) -> Vec<String> {
        match self.0.dyn_ref::<Object>() {
            Some(object) if !Array::is_array(&self.0) => {
                Object::keys(object).iter().filter_map(|name| name.as_string()).collect()
            }
            _ => Vec::new(),
        }
    }

    fn items(&self) -> Option<Vec<Self>> {
        Array::is_array(&self.0).then(|| self.0.unchecked_ref::<Array>().iter().map(Self).collect())
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
        JSON::stringify(&self.0).map(String::from).unwrap_or_default()
    }
}

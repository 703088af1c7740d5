//! What fills the window.

mod overview;
mod sign_in;

pub(crate) use overview::Overview;
pub(crate) use sign_in::SignIn;

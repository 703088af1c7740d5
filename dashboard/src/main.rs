//! The module that the dashboard's page loads. Natively there is nothing to run.

fn main() {
    #[cfg(target_arch = "wasm32")]
    tidegate_dashboard::start();
}

//! SDK for Berth event handlers written in Rust. It has no dependencies.
//!
//! A handler is a library crate of the type `cdylib`. Its function is called once for each
//! event, one event at a time:
//!
//! ```
//! use berth::{Error, Event, Object};
//!
//! berth::handler!(handle);
//!
//! fn handle(event: &Event) -> berth::Result {
//!     let cents = event.int("/data/total_cents").ok_or(Error::reject("this is not an order"))?;
//!     Ok(Object::new().str("order", event.subject()).bool("big", cents >= 10_000).into())
//! }
//! ```
//!
//! How an event ends:
//!
//! - `Ok`: the event is done, with the answer as its result.
//! - [`Error::reject`]: the event becomes a dead letter immediately.
//! - any other error: the event is delivered again after a pause. The operator `?` makes
//!   such an error of every error, those of calls to the host included.
//! - a panic: as an error, but the instance is lost with its memory. The host keeps the
//!   panic's message and location.
//!
//! The host reads fields: [`Event::field`], [`Event::int`] and [`Event::bool`] need no JSON
//! parser. Texts of an event live in one buffer that is reused, so that reading fields does
//! not allocate.
//!
//! State that must survive an instance belongs in [`kv`]. [`testing`] runs handlers in
//! ordinary tests, without WebAssembly.

#![cfg_attr(not(feature = "std"), no_std)]
#![warn(missing_docs)]

extern crate alloc;
#[cfg(not(target_arch = "wasm32"))]
extern crate std;

mod answer;
mod base64;
mod batch;
mod error;
mod event;
mod host;
pub mod http;
pub mod json;
pub mod kv;
mod object;
mod report;
mod run;
mod scratch;
#[cfg(not(target_arch = "wasm32"))]
pub mod testing;
mod wire;

pub use answer::Answer;
pub use batch::{run_batch, Batch};
pub use error::{Code, Error, HostError, Result};
pub use event::{Event, Metadata};
pub use host::{config, config_value, debug, error, info, secret, trace, warn, Child};
pub use object::Object;
pub use run::run;

/// Exports the entry point `run`, which calls [`run()`] with a function of the type
/// `fn(&Event) -> berth::Result`.
#[macro_export]
macro_rules! handler {
    ($handle:expr) => {
        /// The entry point of the module.
        #[no_mangle]
        pub extern "C" fn run() {
            $crate::run($handle)
        }
    };
}

/// Exports the entry point `run`, which calls [`run_batch()`] with a function of the type
/// `fn(&Batch) -> berth::Result<()>`.
#[macro_export]
macro_rules! batch_handler {
    ($handle:expr) => {
        /// The entry point of the module.
        #[no_mangle]
        pub extern "C" fn run() {
            $crate::run_batch($handle)
        }
    };
}

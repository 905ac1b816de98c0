//! Loom's atomics, with two kinds of loads.
//!
//! Which orders of two threads differ loom finds out by the last access to each atomic. A thread that loads one and exchanges
//! it afterwards, as every loop does, hides by its own load that of another thread, and the order in which that other one comes
//! in between is never run. With `RR_TEST_LOOM_LOADS=exchange` loads and stores are exchanges to loom: no order is left out, and each load sees the
//! newest value. Without it loads also see the older values that they may see. `make loom` runs both.

use std::ops::Deref;
use std::sync::LazyLock;

pub(crate) use loom::sync::atomic::Ordering;

static EXCHANGE: LazyLock<bool> =
    LazyLock::new(|| std::env::var_os("RR_TEST_LOOM_LOADS").is_some_and(|loads| loads == "exchange"));

/// Whether loads and stores are exchanges.
pub(crate) fn is_exchanging() -> bool {
    *EXCHANGE
}

macro_rules! atomics {
    ($($name:ident: $value:ty, $exchange:ident($same:expr);)*) => {$(
        #[derive(Debug, Default)]
        pub(crate) struct $name(loom::sync::atomic::$name);

        impl $name {
            pub(crate) fn load(&self, order: Ordering) -> $value {
                if *EXCHANGE { self.0.$exchange($same, order) } else { self.0.load(order) }
            }

            #[allow(dead_code, reason = "one for all")]
            pub(crate) fn store(&self, value: $value, order: Ordering) {
                if *EXCHANGE { drop(self.0.swap(value, order)) } else { self.0.store(value, order) }
            }

            #[allow(dead_code, reason = "one for all")]
            pub(crate) fn fetch_update(
                &self,
                set: Ordering,
                fetch: Ordering,
                mut change: impl FnMut($value) -> Option<$value>,
            ) -> Result<$value, $value> {
                let mut old = self.load(fetch);
                while let Some(new) = change(old) {
                    match self.0.compare_exchange_weak(old, new, set, fetch) {
                        Ok(old) => return Ok(old),
                        Err(now) => old = now,
                    }
                }
                Err(old)
            }
        }

        impl Deref for $name {
            type Target = loom::sync::atomic::$name;

            fn deref(&self) -> &Self::Target {
                &self.0
            }
        }
    )*};
}

atomics! {
    AtomicBool: bool, fetch_or(false);
    AtomicU32: u32, fetch_add(0);
    AtomicU64: u64, fetch_add(0);
    AtomicUsize: usize, fetch_add(0);
}

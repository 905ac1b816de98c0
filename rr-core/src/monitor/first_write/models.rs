//! Every interleaving of a change of primary with writes that are answered meanwhile, by loom.

use std::sync::Arc;

use loom::thread::spawn;

use super::FirstWrites;
use crate::sync::{AtomicU64, Ordering};
use crate::time::Moment;
use crate::topology::Epoch;

/// Two writers choose a node in whatever epoch is published, while the second one begins.
#[test]
fn one_write_is_told_as_the_first_of_an_epoch_and_none_that_was_chosen_before() {
    loom::model(|| {
        let (writes, mut told) = FirstWrites::new();
        let (writes, published) = (Arc::new(writes), Arc::new(AtomicU64::default()));
        published.store(1, Ordering::Release);
        let writer = || {
            let (writes, published) = (Arc::clone(&writes), Arc::clone(&published));
            move || {
                let epoch = published.load(Ordering::Acquire);
                writes.answered(Epoch::new(epoch), || Moment::ORIGIN);
                epoch
            }
        };
        let (one, other) = (spawn(writer()), spawn(writer()));
        writes.expect(Epoch::new(2));
        published.store(2, Ordering::Release);
        let epochs = [one.join().unwrap(), other.join().unwrap()];
        let first = told.try_recv().ok();
        assert_eq!(first.is_some(), epochs.contains(&2));
        assert!(told.try_recv().is_err());
    });
}

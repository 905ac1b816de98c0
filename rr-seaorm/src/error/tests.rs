//! What errors say of nodes, and of what was sent.

use super::*;

const SHORT: Duration = Duration::from_secs(1);

#[test]
fn what_the_handle_says_is_no_nodes_fault() {
    for error in [reads_only(), lock_on_replica("replica-1"), deposed("primary"), torn()] {
        for role in [Role::Primary, Role::Replica] {
            assert_eq!(fault(&error, role), None, "{error}");
        }
        assert!(!is_unanswered(&error), "{error}");
    }
    let tries = [reads_only(), lock_on_replica("replica-1"), deposed("primary"), torn()];
    let tries = tries.map(|error| trouble(&error));
    assert_eq!(tries, [None, None, Some(Trouble::Demoted), Some(Trouble::Torn)]);
}

#[test]
fn what_a_node_did_not_do_is_its_fault() {
    let gone = gone("primary", String::new());
    let errors = [(gone, Fault::Lost), (unreached("primary", SHORT), Fault::Timeout)];
    for (error, expected) in errors {
        assert_eq!(fault(&error, Role::Primary), Some(expected), "{error}");
        assert!(!is_unanswered(&error), "nothing was sent: {error}");
    }
    let slow = too_slow("primary", SHORT);
    assert_eq!(fault(&slow, Role::Primary), Some(Fault::Timeout));
    assert!(is_unanswered(&slow));
}

//! What the tests of all positions share: the laws of a lattice, checked against a model, and damaged text.

use proptest::prelude::*;

/// A position next to a model of it that is too simple to be wrong.
pub(super) trait Lattice: Sized {
    type Model;
    fn from_model(model: &Self::Model) -> Self;
    fn model_covers(a: &Self::Model, b: &Self::Model) -> bool;
    fn model_join(a: &Self::Model, b: &Self::Model) -> Self::Model;
    fn covers(&self, other: &Self) -> bool;
    fn join(&self, other: &Self) -> Self;
}

/// Tests that `$type` agrees with its model and is a join-semilattice.
///
/// `$models` should draw from a small universe: laws about `a.covers(b)` prove little about positions that never
/// meet.
macro_rules! lattice_laws {
    ($type:ty, $models:expr) => {
        proptest! {
            #![proptest_config(ProptestConfig::with_cases(2048))]

            #[test]
            fn agrees_with_the_model(a in $models, b in $models) {
                type Model = <$type as Lattice>::Model;
                let (pa, pb) = (<$type>::from_model(&a), <$type>::from_model(&b));
                let joined: Model = <$type as Lattice>::model_join(&a, &b);
                prop_assert_eq!(pa == pb, a == b);
                prop_assert_eq!(Lattice::covers(&pa, &pb), <$type as Lattice>::model_covers(&a, &b));
                prop_assert_eq!(Lattice::join(&pa, &pb), <$type>::from_model(&joined));
                prop_assert_eq!(pa.to_string().parse(), Ok(pa));
            }

            #[test]
            fn join_is_idempotent_commutative_associative(a in $models, b in $models, c in $models) {
                let [a, b, c] = [a, b, c].map(|m| <$type>::from_model(&m));
                prop_assert_eq!(Lattice::join(&a, &a), a.clone());
                prop_assert_eq!(Lattice::join(&a, &b), Lattice::join(&b, &a));
                prop_assert_eq!(
                    Lattice::join(&Lattice::join(&a, &b), &c),
                    Lattice::join(&a, &Lattice::join(&b, &c))
                );
            }

            #[test]
            fn covers_is_a_partial_order(a in $models, b in $models, c in $models) {
                let [a, b, c] = [a, b, c].map(|m| <$type>::from_model(&m));
                prop_assert!(Lattice::covers(&a, &a));
                prop_assert!(!(Lattice::covers(&a, &b) && Lattice::covers(&b, &a)) || a == b);
                prop_assert!(!(Lattice::covers(&a, &b) && Lattice::covers(&b, &c)) || Lattice::covers(&a, &c));
                // Three chained positions, so that the premise of transitivity does hold.
                let ab = Lattice::join(&a, &b);
                let abc = Lattice::join(&ab, &c);
                prop_assert!(Lattice::covers(&ab, &a) && Lattice::covers(&abc, &ab) && Lattice::covers(&abc, &a));
            }

            #[test]
            fn covers_and_join_say_the_same(a in $models, b in $models) {
                let [a, b] = [a, b].map(|m| <$type>::from_model(&m));
                prop_assert_eq!(Lattice::covers(&a, &b), Lattice::join(&a, &b) == a);
            }

            #[test]
            fn join_is_the_least_upper_bound(a in $models, b in $models, c in $models) {
                let bound = <$type as Lattice>::model_join(&<$type as Lattice>::model_join(&a, &b), &c);
                let [a, b, c, bound] = [a, b, c, bound].map(|m| <$type>::from_model(&m));
                let joined = Lattice::join(&a, &b);
                prop_assert!(Lattice::covers(&joined, &a) && Lattice::covers(&joined, &b));
                for upper in [&c, &bound] {
                    let is_bound = Lattice::covers(upper, &a) && Lattice::covers(upper, &b);
                    prop_assert_eq!(is_bound, Lattice::covers(upper, &joined));
                }
            }
        }
    };
}
pub(super) use lattice_laws;

/// Edits that turn a valid text into one that is nearly valid.
#[derive(Clone, Debug)]
pub(super) struct Damage(Vec<(prop::sample::Index, Edit)>);

#[derive(Clone, Debug)]
enum Edit {
    Delete,
    Insert(char),
    Replace(char),
    Truncate,
    Repeat(usize),
}

impl Damage {
    pub(super) fn apply(&self, text: &str) -> String {
        let mut chars: Vec<char> = text.chars().collect();
        for (index, edit) in &self.0 {
            let at = index.index(chars.len() + 1);
            match edit {
                Edit::Delete => drop(chars.drain(at..chars.len().min(at + 1))),
                Edit::Insert(c) => chars.insert(at, *c),
                Edit::Replace(c) => {
                    if let Some(old) = chars.get_mut(at) {
                        *old = *c;
                    }
                }
                Edit::Truncate => chars.truncate(at),
                Edit::Repeat(len) => {
                    let again: Vec<char> = chars.iter().skip(at).take(*len).copied().collect();
                    chars.splice(at..at, again);
                }
            }
        }
        chars.into_iter().collect()
    }
}

/// One to four edits with the characters that the grammars use, and a few that they do not.
pub(super) fn damage() -> impl Strategy<Value = Damage> {
    let character = || prop_oneof![8 => prop::sample::select("0123456789aF:-,/_ \n".chars().collect::<Vec<_>>()), 1 => any::<char>()];
    let edit = prop_oneof![
        Just(Edit::Delete),
        character().prop_map(Edit::Insert),
        character().prop_map(Edit::Replace),
        Just(Edit::Truncate),
        (1_usize..40).prop_map(Edit::Repeat),
    ];
    prop::collection::vec((any::<prop::sample::Index>(), edit), 1..5).prop_map(Damage)
}

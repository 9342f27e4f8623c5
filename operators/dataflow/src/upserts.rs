//! Upserts, and the arrangement that keeps the latest of each key.

use crate::Epoch;
use differential_dataflow::operators::arrange::TraceAgent;
use differential_dataflow::operators::arrange::upsert::arrange_from_upsert;
use differential_dataflow::trace::implementations::{ValBuilder, ValSpine};
use differential_dataflow::{ExchangeData, Hashable};
use std::hash::Hash;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::Pipeline;
use timely::dataflow::operators::generic::operator::Operator;

/// The latest value of each key.
pub(crate) type Latest<'scope, K, V> =
    differential_dataflow::operators::arrange::Arranged<'scope, TraceAgent<ValSpine<K, V, Epoch, isize>>>;

/// An upsert as the arrangement takes it.
pub(crate) type StampedUpsert<K, V> = (K, Option<V>, Epoch);

/// Keeps of all upserts of a key the one of the greatest epoch, and in one epoch the greatest value. A withdrawal is a
/// value like any other, so that it is not lost in the epoch of what it withdraws.
pub(crate) fn arrange_upserts<'scope, K, V>(
    upserts: StreamVec<'scope, Epoch, StampedUpsert<K, V>>,
    name: &str,
) -> Latest<'scope, K, V>
where
    K: ExchangeData + Hashable + Hash,
    V: ExchangeData,
{
    arrange_from_upsert::<ValBuilder<K, V, Epoch, isize>, ValSpine<K, V, Epoch, isize>, K, V>(upserts, name)
}

/// Adds to each upsert the epoch that it came in, after `keep` has reduced it to what is kept.
pub(crate) fn stamp<'scope, D, K, V>(
    upserts: StreamVec<'scope, Epoch, D>,
    name: &str,
    keep: impl Fn(D) -> (K, V) + 'static,
) -> StreamVec<'scope, Epoch, StampedUpsert<K, V>>
where
    D: Clone + 'static,
    K: Clone + 'static,
    V: Clone + 'static,
{
    upserts.unary::<CapacityContainerBuilder<Vec<_>>, _, _, _>(Pipeline, name, move |_, _| {
        move |input, output| {
            input.for_each_stamp(|capability, batches| {
                let Some(&epoch) = capability.least() else { return };
                let upserts = batches.flat_map(|batch| batch.drain(..));
                let stamped = upserts.map(&keep).map(|(key, value)| (key, Some(value), epoch));
                output.session(&capability).give_iterator(stamped);
            });
        }
    })
}

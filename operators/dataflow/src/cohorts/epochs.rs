//! Whole epochs, in their order.

use crate::Epoch;
use differential_dataflow::consolidation::consolidate;
use std::collections::BTreeMap;
use timely::container::CapacityContainerBuilder;
use timely::dataflow::StreamVec;
use timely::dataflow::channels::pact::ParallelizationContract;
use timely::dataflow::operators::Capability;
use timely::dataflow::operators::generic::operator::Operator;

/// The right to send at an epoch, and what changes at it so far.
type OpenEpoch<D> = (Capability<Epoch>, Vec<(D, isize)>);

/// Gives `settle` what changes at each epoch once the epoch is complete, net and sorted, and sends what it says at that epoch. An update
/// may travel ahead of its epoch. `also` is an epoch that is settled even if nothing comes of it.
pub(crate) fn by_epoch<'scope, D, O, P>(
    updates: StreamVec<'scope, Epoch, (D, Epoch, isize)>,
    pact: P,
    (name, also): (&str, Option<Epoch>),
    mut settle: impl FnMut(Epoch, Vec<(D, isize)>) -> Vec<O> + 'static,
) -> StreamVec<'scope, Epoch, O>
where
    D: Clone + Ord + 'static,
    O: Clone + 'static,
    P: ParallelizationContract<Epoch, Vec<(D, Epoch, isize)>>,
{
    updates.unary_frontier::<CapacityContainerBuilder<Vec<O>>, _, _, _>(pact, name, move |initial, _| {
        let mut open: BTreeMap<Epoch, OpenEpoch<D>> = BTreeMap::new();
        if let Some(also) = also {
            open.insert(also, (initial.delayed(&also), Vec::new()));
        }
        // Kept, it would hold the frontier for good.
        drop(initial);
        move |(input, frontier), output| {
            input.for_each(|capability, updates| {
                for (datum, epoch, diff) in updates.drain(..) {
                    let port = output.output_index();
                    let entry = open.entry(epoch).or_insert_with(|| (capability.delayed(&epoch, port), Vec::new()));
                    entry.1.push((datum, diff));
                }
            });
            while let Some(entry) = open.first_entry() {
                if frontier.less_equal(entry.key()) {
                    break;
                }
                let (epoch, (capability, mut changes)) = entry.remove_entry();
                consolidate(&mut changes);
                output.session(&capability).give_iterator(settle(epoch, changes).into_iter());
            }
        }
    })
}

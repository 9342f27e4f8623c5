//! Which concepts are broader and narrower than others.
//!
//! Edges stand in two lists, sorted by either end, with an index of where each concept's begin: eight bytes an edge and eight a concept.
//! Nothing here recurs, and every walk remembers where it was, so that neither depth nor cycles can hang it.

use std::collections::{HashSet, VecDeque};

/// Which way to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Direction {
    /// To broader concepts and ingredients.
    Up,
    /// To narrower concepts, and to what something is made into.
    Down,
}

/// The neighbours of each concept on one side.
#[derive(Debug)]
struct Adjacency {
    /// Where the neighbours of each concept begin, and where those of the last one end.
    starts: Vec<u32>,
    neighbours: Vec<u32>,
}

impl Adjacency {
    /// Of edges that are sorted by the concept that they begin at.
    fn new(concepts: usize, edges: &[(u32, u32)]) -> Adjacency {
        let mut starts = vec![0u32; concepts + 1];
        edges.iter().for_each(|&(from, _)| starts[from as usize + 1] += 1);
        let mut before = 0;
        for start in &mut starts {
            before += *start;
            *start = before;
        }
        Adjacency { starts, neighbours: edges.iter().map(|&(_, to)| to).collect() }
    }

    fn of(&self, concept: u32) -> &[u32] {
        let at = concept as usize;
        &self.neighbours[self.starts[at] as usize..self.starts[at + 1] as usize]
    }

    fn bytes(&self) -> usize {
        (self.starts.capacity() + self.neighbours.capacity()) * size_of::<u32>()
    }
}

/// Broader and narrower concepts.
#[derive(Debug)]
pub(crate) struct Hierarchy {
    up: Adjacency,
    down: Adjacency,
}

impl Hierarchy {
    /// Of so many concepts and edges from narrower to broader ones, at most [`u32::MAX`], which may come several times.
    pub(crate) fn new(concepts: usize, mut edges: Vec<(u32, u32)>) -> Hierarchy {
        edges.sort_unstable();
        edges.dedup();
        let up = Adjacency::new(concepts, &edges);
        edges.iter_mut().for_each(|edge| *edge = (edge.1, edge.0));
        edges.sort_unstable();
        Hierarchy { up, down: Adjacency::new(concepts, &edges) }
    }

    fn side(&self, direction: Direction) -> &Adjacency {
        match direction {
            Direction::Up => &self.up,
            Direction::Down => &self.down,
        }
    }

    /// Edges, each once.
    pub(crate) fn edges(&self) -> usize {
        self.up.neighbours.len()
    }

    /// The concepts that stand on a cycle or between two: they are broader than themselves.
    pub(crate) fn cyclic(&self) -> Vec<u32> {
        let mut is_left = vec![true; self.up.starts.len() - 1];
        peel(&self.up, &self.down, &mut is_left);
        peel(&self.down, &self.up, &mut is_left);
        (0..).zip(is_left).filter(|(_, is_left)| *is_left).map(|(concept, _)| concept).collect()
    }

    pub(crate) fn bytes(&self) -> usize {
        self.up.bytes() + self.down.bytes()
    }
}

/// Takes away, again and again, the concepts that have no neighbour left on the side of `ends`.
fn peel(ends: &Adjacency, others: &Adjacency, is_left: &mut [bool]) {
    let concepts = 0..is_left.len() as u32;
    let count = |concept| ends.of(concept).iter().filter(|&&end| is_left[end as usize]).count() as u32;
    let mut counts: Vec<u32> = concepts.clone().map(count).collect();
    let mut ready: Vec<u32> =
        concepts.filter(|&concept| is_left[concept as usize] && counts[concept as usize] == 0).collect();
    while let Some(concept) = ready.pop() {
        is_left[concept as usize] = false;
        for &other in others.of(concept).iter().filter(|&&other| is_left[other as usize]) {
            counts[other as usize] -= 1;
            if counts[other as usize] == 0 {
                ready.push(other);
            }
        }
    }
}

/// The concepts that are reached from one, itself first, each once, the nearest first.
#[derive(Debug)]
pub(crate) struct Walk<'a> {
    side: &'a Adjacency,
    waiting: VecDeque<u32>,
    seen: HashSet<u32>,
}

impl<'a> Walk<'a> {
    pub(crate) fn new(hierarchy: &'a Hierarchy, concept: u32, direction: Direction) -> Walk<'a> {
        Walk { side: hierarchy.side(direction), waiting: [concept].into(), seen: [concept].into() }
    }

    /// The next concept, beyond which the walk goes on if `goes_on` says so.
    pub(crate) fn step(&mut self, goes_on: impl FnOnce(u32) -> bool) -> Option<u32> {
        let concept = self.waiting.pop_front()?;
        if goes_on(concept) {
            for &next in self.side.of(concept) {
                if self.seen.insert(next) {
                    self.waiting.push_back(next);
                }
            }
        }
        Some(concept)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn reached(hierarchy: &Hierarchy, from: u32, direction: Direction) -> Vec<u32> {
        let mut walk = Walk::new(hierarchy, from, direction);
        std::iter::from_fn(|| walk.step(|_| true)).collect()
    }

    #[test]
    fn diamonds_are_walked_once() {
        let hierarchy = Hierarchy::new(5, vec![(3, 1), (3, 2), (1, 0), (2, 0), (3, 1), (4, 3)]);
        assert_eq!(hierarchy.edges(), 5);
        assert_eq!(reached(&hierarchy, 0, Direction::Down), [0, 1, 2, 3, 4]);
        assert_eq!(reached(&hierarchy, 4, Direction::Up), [4, 3, 1, 2, 0]);
        assert!(hierarchy.cyclic().is_empty());
    }

    #[test]
    fn cycles_are_told_and_end() {
        // 1, 2 and 3 in a circle, 5 above itself, 0 above and 4 below.
        let hierarchy = Hierarchy::new(6, vec![(1, 2), (2, 3), (3, 1), (1, 0), (4, 1), (5, 5)]);
        assert_eq!(hierarchy.cyclic(), [1, 2, 3, 5]);
        assert_eq!(reached(&hierarchy, 0, Direction::Down), [0, 1, 3, 4, 2]);
        assert_eq!(reached(&hierarchy, 5, Direction::Up), [5]);
    }

    #[test]
    fn a_long_chain_needs_no_stack() {
        let count = 200_000;
        let hierarchy = Hierarchy::new(count, (1..count as u32).map(|concept| (concept, concept - 1)).collect());
        assert_eq!(reached(&hierarchy, 0, Direction::Down).len(), count);
        assert!(hierarchy.cyclic().is_empty());
    }

    proptest! {
        #[test]
        fn agrees_with_the_closure(edges in proptest::collection::vec((0u32..12, 0u32..12), 0..30)) {
            let hierarchy = Hierarchy::new(12, edges.clone());
            // The closure by Warshall's algorithm.
            let mut reaches: BTreeSet<(u32, u32)> = edges.iter().copied().collect();
            for via in 0..12 {
                for from in 0..12 {
                    for to in 0..12 {
                        if reaches.contains(&(from, via)) && reaches.contains(&(via, to)) {
                            reaches.insert((from, to));
                        }
                    }
                }
            }
            for from in 0..12 {
                let above: BTreeSet<u32> = reached(&hierarchy, from, Direction::Up).into_iter().collect();
                let below: BTreeSet<u32> = reached(&hierarchy, from, Direction::Down).into_iter().collect();
                let expected = |is_there: &dyn Fn(u32) -> bool| -> BTreeSet<u32> {
                    (0..12).filter(|&other| other == from || is_there(other)).collect()
                };
                prop_assert_eq!(above, expected(&|other| reaches.contains(&(from, other))));
                prop_assert_eq!(below, expected(&|other| reaches.contains(&(other, from))));
            }
            for concept in hierarchy.cyclic() {
                let is_cyclic = |concept: u32| reaches.contains(&(concept, concept));
                let above = (0..12).any(|other| is_cyclic(other) && reaches.contains(&(concept, other)));
                let below = (0..12).any(|other| is_cyclic(other) && reaches.contains(&(other, concept)));
                prop_assert!(above && below);
            }
            for concept in (0..12).filter(|&concept| reaches.contains(&(concept, concept))) {
                prop_assert!(hierarchy.cyclic().contains(&concept));
            }
        }
    }
}

//! Students that differ by their seed alone, taken together: the mean of their figures, and how far apart these lie.

use crate::study::report::{Figure, LevelFigure, LevelMean, SeedMean, Spread, StudentRow};
use stillroom_schemas::Level;

/// What the captions of tables with such rows say of them.
pub(crate) const CAPTION: &str =
    " A mean of seeds stands with the standard deviation over the seeds (± of n - 1) in place of an interval.";

/// The means of every student that was trained with several seeds, in each group and for each task. The seeds of a student stand
/// behind one another.
pub(crate) fn means(students: &[StudentRow], figures: &[Figure]) -> Vec<SeedMean> {
    let of = |student: &StudentRow| (student.base.clone(), student.source.clone(), student.tasks.clone());
    let of_seeds = students.chunk_by(|one, other| of(one) == of(other)).filter(|seeds| seeds.len() > 1);
    of_seeds.flat_map(|seeds| means_of(seeds, figures)).collect()
}

fn means_of(seeds: &[StudentRow], figures: &[Figure]) -> Vec<SeedMean> {
    let is_of = |figure: &Figure, seed: &StudentRow| figure.system == seed.name && seed.tasks.contains(&figure.task);
    let mean = |first: &Figure| {
        let is_beside = |figure: &&Figure| figure.group == first.group && figure.task == first.task;
        let of_seeds = figures.iter().filter(is_beside).filter(|figure| seeds.iter().any(|seed| is_of(figure, seed)));
        let of_seeds: Vec<&Figure> = of_seeds.collect();
        SeedMean {
            group: first.group.clone(),
            task: first.task,
            system: format!("{} from {}, mean of {} seeds", seeds[0].base, seeds[0].source, seeds.len()),
            students: seeds.iter().map(|seed| seed.name.clone()).collect(),
            documents: first.documents,
            words: first.words,
            levels: first.levels.keys().map(|level| (*level, level_mean(&of_seeds, *level))).collect(),
        }
    };
    figures.iter().filter(|figure| is_of(figure, &seeds[0])).map(mean).collect()
}

fn level_mean(figures: &[&Figure], level: Level) -> LevelMean {
    let over_seeds = |value: fn(&LevelFigure) -> f64| {
        spread(&figures.iter().filter_map(|figure| figure.levels.get(&level)).map(value).collect::<Vec<_>>())
    };
    LevelMean {
        precision: over_seeds(|figure| figure.precision.value),
        recall: over_seeds(|figure| figure.recall.value),
        f1: over_seeds(|figure| figure.f1.value),
    }
}

/// Of two values at least.
fn spread(values: &[f64]) -> Spread {
    let count = values.len() as f64;
    let mean = values.iter().sum::<f64>() / count;
    let squares: f64 = values.iter().map(|value| (value - mean).powi(2)).sum();
    Spread { mean, deviation: (squares / (count - 1.0)).sqrt() }
}

/// The row below that of the last seed, in the columns of the figures at a level. Counts have no mean.
pub(crate) fn row_below(figure: &Figure, means: &[SeedMean], level: Level) -> Option<Vec<String>> {
    let is_below = |mean: &&SeedMean| {
        mean.students.last() == Some(&figure.system) && mean.group == figure.group && mean.task == figure.task
    };
    let mean = means.iter().find(is_below)?;
    let LevelMean { precision, recall, f1 } = mean.levels.get(&level)?;
    let group = &mean.group;
    let mut row = vec![group.dataset.clone(), group.part.clone(), mean.system.clone()];
    row.extend([mean.documents.to_string(), mean.words.to_string()]);
    row.extend([precision, recall, f1].map(|Spread { mean, deviation }| format!("{mean:.3} ± {deviation:.3}")));
    row.extend(["–"; 3].map(str::to_owned));
    Some(row)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::estimate::Estimate;
    use crate::study::dataset::Role;
    use crate::study::report::{Group, Kind};
    use stillroom_schemas::{Counts, Task};

    fn student(source: &str, seed: u64, tasks: &[Task]) -> StudentRow {
        StudentRow {
            name: format!("tiny from {source}, seed {seed}"),
            base: "tiny".into(),
            source: source.into(),
            tasks: tasks.to_vec(),
            seed,
            documents: 1,
            epochs: 1,
            weights_hash: String::new(),
            folder: String::new(),
        }
    }

    /// With a recall above, and a precision below `f1` by a tenth.
    fn figure((part, task): (&str, Task), system: &str, f1: f64) -> Figure {
        let estimate = |value: f64| Estimate { value, low: 0.0, high: 1.0 };
        let [precision, recall, f1] = [f1 - 0.1, f1 + 0.1, f1].map(estimate);
        Figure {
            group: Group { dataset: "one".into(), role: Role::Study, part: part.into() },
            task,
            system: system.into(),
            kind: Kind::Student,
            documents: 20,
            words: 300,
            levels: [(Level::Word, LevelFigure { counts: Counts::default(), precision, recall, f1 })].into(),
        }
    }

    #[test]
    fn the_seeds_of_a_student_have_a_mean_for_each_task_and_group() {
        let tasks = [Task::Disease, Task::Symptom];
        let students = [
            student("human", 0, &tasks),
            student("human", 1, &tasks),
            student("human", 2, &tasks),
            // With one seed, which has no deviation; and for another task under the same name.
            student("wide", 0, &tasks[..1]),
            student("wide", 0, &tasks[1..]),
        ];
        let places = [("dev", Task::Disease), ("test", Task::Disease), ("dev", Task::Symptom)];
        let human = |seed: usize| students[seed].name.as_str();
        let figures: Vec<Figure> = (0u32..)
            .zip(places)
            .flat_map(|(at, place)| {
                // 0.4, 0.5 and 0.6 on average are 0.5, and lie 0.1 from it; each place has its own distance.
                let distance = 0.1 * f64::from(at + 1);
                let f1s = [(human(0), 0.5 - distance), (human(1), 0.5), (human(2), 0.5 + distance)];
                let others = [("ensemble", 0.9), ("tiny from wide, seed 0", 0.1)];
                f1s.into_iter().chain(others).map(move |(system, f1)| figure(place, system, f1))
            })
            .collect();
        let means = means(&students, &figures);
        assert_eq!(means.len(), places.len(), "{means:?}");
        for (at, (place, mean)) in (0u32..).zip(places.iter().zip(&means)) {
            assert_eq!((mean.group.part.as_str(), mean.task), *place);
            assert_eq!((mean.system.as_str(), mean.students.len()), ("tiny from human, mean of 3 seeds", 3));
            let LevelMean { precision, recall, f1 } = mean.levels[&Level::Word];
            for (spread, expected) in [(precision, 0.4), (recall, 0.6), (f1, 0.5)] {
                let is_near = |one: f64, other: f64| (one - other).abs() < 1e-12;
                assert!(is_near(spread.mean, expected), "{spread:?}");
                assert!(is_near(spread.deviation, 0.1 * f64::from(at + 1)), "{spread:?}");
            }
        }
        let below = |figure: &Figure| row_below(figure, &means, Level::Word);
        assert_eq!(figures.iter().filter_map(below).count(), places.len());
        let last = figures.iter().position(|figure| figure.system == human(2)).unwrap();
        let expected =
            ["one", "dev", "tiny from human, mean of 3 seeds", "20", "300", "0.400 ± 0.100", "0.600 ± 0.100"];
        let expected = [&expected[..], &["0.500 ± 0.100", "–", "–", "–"]].concat();
        assert_eq!(below(&figures[last]).unwrap(), expected);
    }
}

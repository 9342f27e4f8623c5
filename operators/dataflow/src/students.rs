//! Students that come and go while notes flow.
//!
//! A student that is activated is loaded on a thread of its own. Every worker that tags by it, or will, holds a lease; when the last
//! lease has gone, its threads end, and its weights go with them.

use crate::tagger_pool::Lost;
use crate::{Epoch, TaggerFactoryError, TaggerHandle, TaggerPool, TaggerPoolError};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use std::time::Instant;
use stillroom_schemas::{Activation, ModelId};
use timely::scheduling::SyncActivator;

/// Loads the student of an activation and starts its threads. It may take long: it is called on a thread of its own.
pub type LoadStudent = Arc<dyn Fn(&Activation) -> Result<TaggerPool, TaggerFactoryError> + Send + Sync>;

/// The students of a process.
#[derive(Clone)]
pub struct Students(Arc<Shared>);

struct Shared {
    load: LoadStudent,
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    leases: BTreeMap<ModelId, Weak<Mutex<State>>>,
    /// Of students that are loaded.
    threads: Vec<JoinHandle<()>>,
    /// Whether batches of a student were lost, one a student.
    pools: Vec<Lost>,
    failure: Option<TaggerPoolError>,
    last: Option<Tenure>,
}

/// From when on a student tags.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Tenure {
    /// The first epoch whose notes it tags.
    pub begin: Epoch,
    /// The offset of its activation; absent of the student that the process begins with.
    pub activation: Option<u64>,
    /// The student.
    pub model: ModelId,
}

/// A share in a student that is loaded, or will be.
#[derive(Clone)]
pub struct StudentLease(Arc<Mutex<State>>);

enum State {
    /// With whom to wake then.
    Loading(Vec<SyncActivator>),
    Loaded(TaggerHandle),
    Failed,
}

impl Students {
    /// The students of a process that begins with `pool`, and a lease of that one. Those that are activated later are loaded by `load`.
    pub fn new(pool: TaggerPool, load: LoadStudent) -> (Students, StudentLease) {
        let students = Students(Arc::new(Shared { load, inner: Mutex::default() }));
        let model = pool.model().clone();
        let lease = StudentLease(Arc::new(Mutex::new(State::Loaded(students.take_in(pool)))));
        let mut inner = students.lock();
        inner.leases.insert(model.clone(), Arc::downgrade(&lease.0));
        inner.last = Some(Tenure { begin: 0, activation: None, model });
        drop(inner);
        (students, lease)
    }

    /// The students of a run in which none is activated.
    pub fn only(pool: TaggerPool) -> (Students, StudentLease) {
        let model = pool.model().0.clone();
        Students::new(pool, Arc::new(move |_| Err(format!("this run has {model} alone").into())))
    }

    /// The last student that is known to tag, now or soon. Once an epoch is committed, every activation that came in it or before is
    /// known to every process.
    pub fn last_tenure(&self) -> Tenure {
        self.lock().last.clone().expect("a process begins with a student")
    }

    /// Takes note of who takes over when; every worker hears of it, in any order.
    pub(crate) fn take_note(&self, tenure: Tenure) {
        let mut inner = self.lock();
        if inner.last.as_ref().is_none_or(|last| *last < tenure) {
            inner.last = Some(tenure);
        }
    }

    /// A lease of the student that was activated. If nobody has one, loading begins; nobody waits for it here.
    pub(crate) fn lease(&self, activation: &Activation) -> StudentLease {
        let mut inner = self.lock();
        inner.forget_the_gone();
        if let Some(lease) = inner.leases.get(&activation.model).and_then(Weak::upgrade) {
            return StudentLease(lease);
        }
        let lease = StudentLease(Arc::new(Mutex::new(State::Loading(Vec::new()))));
        inner.leases.insert(activation.model.clone(), Arc::downgrade(&lease.0));
        let (students, activation, loading) = (self.clone(), activation.clone(), Loading(lease.clone()));
        let thread = std::thread::Builder::new().name("student-loader".to_owned());
        // Nobody waits for a loader at the end: what it loads then goes with its lease.
        if let Err(cause) = thread.spawn(move || students.load(&activation, &loading)) {
            inner.failure.get_or_insert(TaggerPoolError::Thread(cause));
        }
        lease
    }

    fn load(&self, activation: &Activation, loading: &Loading) {
        let (wanted, began) = (&activation.model, Instant::now());
        let loaded = (self.0.load)(activation).and_then(|pool| match pool.model().clone() {
            model if model == *wanted => Ok(self.take_in(pool)),
            model => Err(format!("what is there is {}", model.0).into()),
        });
        match loaded {
            Ok(handle) => {
                let seconds = began.elapsed().as_secs_f64();
                tracing::info!(model = wanted.0, seconds, "a student that was activated is loaded");
                loading.settle(State::Loaded(handle));
            }
            Err(cause) => {
                let cause = cause.to_string();
                tracing::error!(model = wanted.0, cause, "a student that was activated cannot be loaded");
                loading.settle(State::Failed);
            }
        }
    }

    /// Remembers a pool's threads; its handle, the last of which ends them.
    fn take_in(&self, pool: TaggerPool) -> TaggerHandle {
        let (handle, threads) = pool.into_parts();
        let mut inner = self.lock();
        inner.threads.extend(threads);
        inner.pools.push(handle.lost());
        handle
    }

    /// Ends the run, because notes are to be tagged by a student that cannot be loaded.
    pub(crate) fn fail(&self, model: &ModelId) {
        self.lock().failure.get_or_insert_with(|| TaggerPoolError::Activated(model.0.clone()));
    }

    /// Why epochs cannot complete any more, if so. The run must end.
    pub fn failure(&self) -> Option<TaggerPoolError> {
        let mut inner = self.lock();
        let is_lost = inner.pools.iter().any(Lost::is_set);
        inner.failure.take().or_else(|| is_lost.then_some(TaggerPoolError::Lost))
    }

    /// Waits for all threads, which end when all leases are gone.
    ///
    /// # Errors
    /// When a batch was never answered.
    pub fn join(self) -> Result<(), TaggerPoolError> {
        loop {
            // Not held while threads end: a loader takes it.
            let Some(thread) = self.lock().threads.pop() else { break };
            if thread.join().is_err() {
                return Err(TaggerPoolError::Lost);
            }
        }
        self.failure().map_or(Ok(()), Err)
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Inner {
    /// Forgets students whose last lease has gone, and threads that have ended.
    fn forget_the_gone(&mut self) {
        self.leases.retain(|_, lease| lease.strong_count() > 0);
        self.threads.retain(|thread| !thread.is_finished());
        self.pools.retain(|pool| pool.is_set() || pool.is_shared());
    }
}

/// A lease whose student is being loaded: however that ends, nobody waits for ever.
struct Loading(StudentLease);

impl Loading {
    fn settle(&self, state: State) {
        if let State::Loading(waiting) = std::mem::replace(&mut *self.0.lock(), state) {
            for wake in waiting {
                // A worker that is gone needs no student.
                let _gone = wake.activate();
            }
        }
    }
}

impl Drop for Loading {
    fn drop(&mut self) {
        let is_settled = !matches!(*self.0.lock(), State::Loading(_));
        if !is_settled {
            self.settle(State::Failed);
        }
    }
}

impl StudentLease {
    /// The student's name and version, if it is loaded.
    pub fn model(&self) -> Option<ModelId> {
        match &*self.lock() {
            State::Loaded(handle) => Some(handle.student.model.clone()),
            State::Loading(_) | State::Failed => None,
        }
    }

    /// Has `wake` woken when it is known whether the student can be loaded.
    pub(crate) fn wake_when_known(&self, wake: &SyncActivator) {
        if let State::Loading(waiting) = &mut *self.lock() {
            waiting.push(wake.clone());
        }
    }

    /// The student if it is loaded.
    ///
    /// # Errors
    /// When it cannot be loaded.
    pub(crate) fn student(&self) -> Result<Option<TaggerHandle>, CannotLoad> {
        match &*self.lock() {
            State::Loading(_) => Ok(None),
            State::Loaded(handle) => Ok(Some(handle.clone())),
            State::Failed => Err(CannotLoad),
        }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A student cannot be loaded; the cause was logged when it was tried.
pub(crate) struct CannotLoad;

//! The pool behind the free functions.
//!
//! It is made when it is first used, with the defaults or as [`configure`] said before, and lives
//! until [`shutdown`] or the end of the process. (Rust drops no statics: tasks that still run when
//! `main` returns are cut off.) After a shutdown the next use makes a new one.

use std::sync::{Arc, Mutex};

use crate::builder::Builder;
use crate::current;
use crate::error::BuildError;
use crate::lock::lock;
use crate::pool::Pool;
use crate::scope::Scope;
use crate::shutdown::{Shutdown, ShutdownReport};

static GLOBAL: Mutex<Option<Arc<Pool>>> = Mutex::new(None);

/// Why the global pool was not configured.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConfigureError {
    /// It is in use already.
    #[error("the global pool exists already: configure it before its first use")]
    InUse,
    /// It cannot be built so.
    #[error(transparent)]
    Build(#[from] BuildError),
}

/// The global pool.
///
/// # Panics
///
/// If the system gives no thread.
pub fn pool() -> Arc<Pool> {
    let mut global = lock(&GLOBAL);
    let pool = global.get_or_insert_with(|| match Builder::new().build() {
        Ok(pool) => Arc::new(pool),
        Err(error) => panic!("the global pool cannot be built: {error}"),
    });
    Arc::clone(pool)
}

/// Builds the global pool as `builder` says. Call it first thing in `main`.
///
/// ```
/// use pinfold::global::{self, ConfigureError};
///
/// global::configure(pinfold::Pool::builder().workers(2).name("app"))?;
/// assert_eq!(global::pool().worker_count(), 2);
/// let (a, b) = pinfold::join(|| 20, || 22);
/// assert_eq!(a + b, 42);
/// // It is there, so it is too late for another one.
/// let late = global::configure(pinfold::Pool::builder());
/// assert!(matches!(late, Err(ConfigureError::InUse)));
/// # Ok::<(), ConfigureError>(())
/// ```
///
/// # Errors
///
/// [`ConfigureError::InUse`], if it exists already: it was used, or configured, before.
/// [`ConfigureError::Build`], if it cannot be built so, as from [`Builder::build`]; then it may be
/// configured again.
pub fn configure(builder: Builder) -> Result<(), ConfigureError> {
    let mut global = lock(&GLOBAL);
    if global.is_some() {
        return Err(ConfigureError::InUse);
    }
    *global = Some(Arc::new(builder.build()?));
    Ok(())
}

/// Shuts the global pool down, if there is one; the next use makes a new one.
pub fn shutdown(how: Shutdown) -> Option<ShutdownReport> {
    let pool = lock(&GLOBAL).take()?;
    Some(pool.shutdown(how))
}

/// [`Pool::join`] in the calling worker's pool, or else in the global one.
#[inline]
pub fn join<A, B, RA, RB>(a: A, b: B) -> (RA, RB)
where
    A: FnOnce() -> RA + Send,
    B: FnOnce() -> RB + Send,
    RA: Send,
    RB: Send,
{
    current::with(|worker| match worker {
        Some(worker) => worker.join(|_| a(), |_| b()),
        None => join_outside(a, b),
    })
}

/// Out of line, so that it costs a worker's `join` nothing.
#[cold]
#[inline(never)]
fn join_outside<A, B, RA, RB>(a: A, b: B) -> (RA, RB)
where
    A: FnOnce() -> RA + Send,
    B: FnOnce() -> RB + Send,
    RA: Send,
    RB: Send,
{
    pool().join(a, b)
}

/// [`Pool::scope`] in the calling worker's pool, or else in the global one.
pub fn scope<'scope, R: Send>(body: impl FnOnce(&Scope<'scope>) -> R + Send) -> R {
    current::with(|worker| match worker {
        Some(worker) => worker.scope(|scope| body(Scope::of(scope))),
        None => pool().scope(body),
    })
}

/// [`Pool::spawn`] in the calling worker's pool, or else in the global one.
pub fn spawn(task: impl FnOnce() + Send + 'static) {
    current::with(|worker| match worker {
        Some(worker) => crate::pool::spawn_inside(worker, task),
        None => pool().spawn(task),
    });
}

/// Which worker of its pool the calling thread is, if it is one.
pub fn current_worker() -> Option<crate::WorkerId> {
    current::id()
}

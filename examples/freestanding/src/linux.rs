//! Linux on x86-64: the entry point, system calls, threads, and the memory functions that compiled code calls.

use core::arch::{asm, global_asm};
use core::ffi::c_void;
use core::ptr;
use core::sync::atomic::{AtomicU32, Ordering};

global_asm!(
    ".globl _start",
    "_start:",
    "xor ebp, ebp",
    "and rsp, -16",
    "call {main}",
    "ud2",
    // clone(flags, stack, entry, argument, child_tid): the child calls `entry(argument)` and exits.
    "pinfold_clone:",
    "sub rsi, 16",
    "mov [rsi], rdx",
    "mov [rsi + 8], rcx",
    "mov r10, r8",
    "xor edx, edx",
    "xor r8d, r8d",
    "mov eax, 56",
    "syscall",
    "test rax, rax",
    "jnz 1f",
    "xor ebp, ebp",
    "pop rax",
    "pop rdi",
    "call rax",
    "xor edi, edi",
    "mov eax, 60",
    "syscall",
    "ud2",
    "1:",
    "ret",
    ".globl memcpy",
    "memcpy:",
    "mov rax, rdi",
    "mov rcx, rdx",
    "rep movsb",
    "ret",
    ".globl memmove",
    "memmove:",
    "mov rax, rdi",
    "mov rcx, rdx",
    "mov r8, rdi",
    "sub r8, rsi",
    "cmp r8, rdx",
    "jb 2f",
    "rep movsb",
    "ret",
    "2:",
    "lea rdi, [rdi + rdx - 1]",
    "lea rsi, [rsi + rdx - 1]",
    "std",
    "rep movsb",
    "cld",
    "ret",
    ".globl memset",
    "memset:",
    "mov r8, rdi",
    "mov eax, esi",
    "mov rcx, rdx",
    "rep stosb",
    "mov rax, r8",
    "ret",
    main = sym crate::main,
);

unsafe extern "C" {
    fn pinfold_clone(
        flags: usize,
        stack_top: *mut c_void,
        entry: extern "C" fn(usize),
        argument: usize,
        child_tid: *const AtomicU32,
    ) -> isize;
}

const WRITE: usize = 1;
const SCHED_YIELD: usize = 24;
const FUTEX: usize = 202;
const CLOCK_GETTIME: usize = 228;
const WAIT4: usize = 61;
const NANOSLEEP: usize = 35;
const PTRACE: usize = 101;
const EXIT_GROUP: usize = 231;

/// # Safety
///
/// The kernel does with the arguments what the system call `number` says.
pub unsafe fn syscall(number: usize, arguments: [usize; 4]) -> isize {
    let [a, b, c, d] = arguments;
    let result;
    // SAFETY: the caller's duty. The kernel leaves all registers but `rax`, `rcx` and `r11`.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number => result,
            in("rdi") a,
            in("rsi") b,
            in("rdx") c,
            in("r10") d,
            lateout("rcx") _,
            lateout("r11") _,
            options(nostack),
        );
    }
    result
}

/// Lets other threads run.
pub fn yield_now() {
    // SAFETY: it touches no memory of ours.
    unsafe { syscall(SCHED_YIELD, [0; 4]) };
}

/// Ends the process.
pub fn exit(code: usize) -> ! {
    loop {
        // SAFETY: it touches no memory of ours.
        unsafe { syscall(EXIT_GROUP, [code, 0, 0, 0]) };
    }
}

/// Writes to the standard error output.
pub fn say(text: &str) {
    // SAFETY: the kernel reads `text`, which lives on.
    unsafe { syscall(WRITE, [2, text.as_ptr() as usize, text.len(), 0]) };
}

/// Writes `number` in decimal.
pub fn say_number(number: u32) {
    if number >= 10 {
        say_number(number / 10);
    }
    let digits = ["0", "1", "2", "3", "4", "5", "6", "7", "8", "9"];
    say(digits[(number % 10) as usize]);
}

/// Sleeps while `word` holds `value`, or less long.
pub fn sleep_while(word: &AtomicU32, value: u32) {
    let address = ptr::from_ref(word) as usize;
    // FUTEX_WAIT without a timeout. Not "private": a child process shares our memory in `stall.rs`.
    // SAFETY: the kernel reads `word`.
    unsafe { syscall(FUTEX, [address, 0, value as usize, 0]) };
}

/// Wakes one that sleeps on `word`.
pub fn wake_one(word: &AtomicU32) {
    let address = ptr::from_ref(word) as usize;
    // FUTEX_WAKE.
    // SAFETY: the kernel uses the address only.
    unsafe { syscall(FUTEX, [address, 1, 1, 0]) };
}

/// Sleeps for so many milliseconds, or less.
pub fn sleep_ms(milliseconds: u32) {
    let time = [
        u64::from(milliseconds / 1000),
        u64::from(milliseconds % 1000) * 1_000_000,
    ];
    // SAFETY: the kernel reads a `timespec`: two words.
    unsafe { syscall(NANOSLEEP, [(&raw const time) as usize, 0, 0, 0]) };
}

/// The monotonic clock.
pub fn now_ns() -> u64 {
    let mut time = [0u64; 2];
    // SAFETY: the kernel writes a `timespec`: two words.
    unsafe { syscall(CLOCK_GETTIME, [1, (&raw mut time) as usize, 0, 0]) };
    let [seconds, nanoseconds] = time;
    seconds
        .wrapping_mul(1_000_000_000)
        .wrapping_add(nanoseconds)
}

/// The stack of a thread.
#[repr(align(16))]
pub struct Stack(core::cell::UnsafeCell<[u8; Stack::BYTES]>);

// SAFETY: one thread runs on it, and nobody else touches it (`start`).
unsafe impl Sync for Stack {}

impl Stack {
    const BYTES: usize = 64 * 1024;

    pub const fn new() -> Self {
        Stack(core::cell::UnsafeCell::new([0; Self::BYTES]))
    }

    fn top(&self) -> *mut c_void {
        self.0.get().wrapping_add(1).cast()
    }
}

/// A thread of this process that was started.
pub struct Thread {
    /// Cleared and woken by the kernel when the thread is gone.
    alive: AtomicU32,
    stack: Stack,
}

impl Thread {
    pub const fn new() -> Self {
        Thread {
            alive: AtomicU32::new(0),
            stack: Stack::new(),
        }
    }

    /// Starts it. `false`: the kernel would not, or it runs already.
    pub fn start(&'static self, entry: extern "C" fn(usize), argument: usize) -> bool {
        // VM, FS, FILES, SIGHAND, THREAD, SYSVSEM, CHILD_CLEARTID.
        const FLAGS: usize = 0x100 | 0x200 | 0x400 | 0x800 | 0x1_0000 | 0x4_0000 | 0x20_0000;
        // Acquire: pairs with the kernel's clearing; the stack is not in use any more.
        if self.alive.swap(1, Ordering::Acquire) != 0 {
            return false;
        }
        // SAFETY: the stack is this thread's alone, by `alive`.
        let started = unsafe {
            pinfold_clone(
                FLAGS,
                self.stack.top(),
                entry,
                argument,
                &raw const self.alive,
            )
        };
        started > 0
    }

    /// Waits for its end.
    pub fn join(&self) {
        loop {
            // Acquire: pairs with the kernel's clearing.
            let alive = self.alive.load(Ordering::Acquire);
            if alive == 0 {
                return;
            }
            sleep_while(&self.alive, alive);
        }
    }
}

/// A child process that shares this one's memory and lets it trace it.
pub struct Process {
    id: usize,
}

// Requests of `ptrace`.
const TRACE_ME: usize = 0;
const CONTINUE: usize = 7;
const STEP: usize = 9;
const SET_OPTIONS: usize = 0x4200;
const EXIT_KILL: usize = 0x10_0000;

/// In a child: stops at signals from now on, for the parent to see. `false`: the kernel would not.
pub fn let_parent_trace() -> bool {
    // SAFETY: it touches no memory of ours.
    let result = unsafe { syscall(PTRACE, [TRACE_ME, 0, 0, 0]) };
    result == 0
}

impl Process {
    /// Starts one on `stack`. `None`: the kernel would not.
    pub fn start(stack: &'static Stack, entry: extern "C" fn(usize)) -> Option<Process> {
        // VM; the parent gets SIGCHLD at the end.
        const FLAGS: usize = 0x100 | 17;
        // SAFETY: the caller gives the stack to this process.
        let id = unsafe { pinfold_clone(FLAGS, stack.top(), entry, 0, ptr::null()) };
        (id > 0).then_some(Process { id: id as usize })
    }

    /// Waits until it stops at a trap. `false`: it stopped otherwise, or is gone.
    pub fn wait_for_trap(&self) -> bool {
        const STOPPED_AT_SIGTRAP: i32 = 5 << 8 | 0x7F;
        let mut status = 0i32;
        // SAFETY: the kernel writes an `int`.
        let waited = unsafe { syscall(WAIT4, [self.id, (&raw mut status) as usize, 0, 0]) };
        waited == self.id as isize && status == STOPPED_AT_SIGTRAP
    }

    /// Has the kernel kill it when this process ends.
    pub fn end_with_us(&self) {
        self.trace(SET_OPTIONS, EXIT_KILL);
    }

    /// Lets it run to the next trap.
    pub fn go_on(&self) {
        self.trace(CONTINUE, 0);
    }

    /// Lets it execute one instruction.
    pub fn step(&self) {
        self.trace(STEP, 0);
    }

    fn trace(&self, request: usize, data: usize) {
        // SAFETY: these requests touch no memory of ours.
        unsafe { syscall(PTRACE, [request, self.id, 0, data]) };
    }
}

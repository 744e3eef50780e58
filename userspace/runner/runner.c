/*
 * runner: a program that is nothing but the Python of a libpython. It is not installed: prove_child.c holds its file and
 * starts it from memory, to try the very libpython that some other program (a server, an editor, a database) has loaded.
 *
 * It names no library and has no code of a C library in it, so that it runs with whichever loader and C library that
 * libpython came with: LD_PRELOAD names the libpython, which brings the rest, and the loader named here is overwritten.
 */
typedef int main_fn(int argc, char **argv, char **envp);

extern int Py_BytesMain(int argc, char **argv) __attribute__((weak));
extern int __libc_start_main(main_fn *main, int argc, char **argv, void (*init)(void), void (*fini)(void),
			     void (*loader_fini)(void), void *stack_end) __attribute__((weak));

/* With room for the path of another loader: this section is what the kernel reads it from. */
__attribute__((section(".interp"), used)) static const char loader[256] = "/lib64/ld-linux-x86-64.so.2";

static int run(int argc, char **argv, char **envp)
{
	(void)envp;
	return Py_BytesMain ? Py_BytesMain(argc, argv) : 127;
}

/* What the kernel left on the stack begins with argc and argv; the loader left its own end function in rdx. */
__attribute__((used, noreturn)) static void begin(long *stack, void (*loader_fini)(void))
{
	if (__libc_start_main)
		__libc_start_main(run, (int)stack[0], (char **)(stack + 1), 0, 0, loader_fini, stack);
	__builtin_trap();
}

__asm__(".text\n"
	".globl _start\n"
	"_start:\n"
	"	xor %ebp, %ebp\n"
	"	mov %rsp, %rdi\n"
	"	mov %rdx, %rsi\n"
	"	and $-16, %rsp\n"
	"	call begin\n");

/* injected: a library that does on being loaded what the agent does, and nothing more: it makes a thread with all
 * signals blocked. */
#include <pthread.h>
#include <signal.h>
#include <stddef.h>

/* As they were called before glibc 2.34 took them into libc.so.6. */
__asm__(".symver pthread_create, pthread_create@GLIBC_2.2.5");
__asm__(".symver pthread_detach, pthread_detach@GLIBC_2.2.5");
__asm__(".symver pthread_sigmask, pthread_sigmask@GLIBC_2.2.5");

static void *work(void *ctx)
{
	return ctx;
}

__attribute__((constructor)) static void start(void)
{
	sigset_t all, old;
	pthread_t thread;

	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &old);
	if (!pthread_create(&thread, NULL, work, NULL))
		pthread_detach(thread);
	pthread_sigmask(SIG_SETMASK, &old, NULL);
}

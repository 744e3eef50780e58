/*
 * symver: taken into every file of the agent: functions that the C library moved or renamed are asked for under the version that old ones have too,
 * so that a library built here is loaded by glibc 2.17. They were in libdl and libpthread before 2.34, which is why the library names
 * those two. test_agent_life.py looks at what is needed in the end.
 */
#ifndef PYLU_SYMVER_H
#define PYLU_SYMVER_H

#define OLD(name) __asm__(".symver " #name "," #name "@GLIBC_2.2.5")
OLD(dlopen);
OLD(dlclose);
OLD(dlsym);
OLD(dladdr);
OLD(pthread_create);
OLD(pthread_join);
OLD(pthread_detach);
OLD(pthread_mutex_trylock);
OLD(pthread_sigmask);
OLD(pthread_attr_setstacksize);
#undef OLD
__asm__(".symver pthread_timedjoin_np,pthread_timedjoin_np@GLIBC_2.3.3");

#endif

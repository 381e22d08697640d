/* LD_PRELOAD: a program whose memory or ports run out. The file named by SCARCE holds a struct scarce that a test
 * changes while the program runs. Only what the program itself asks for fails; what the libraries that it is linked
 * with ask for does not: some of them (gRPC) end the process then, by their own choice. */
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

struct scarce {
	_Atomic uint32_t every;	 /* one of so many fails; 0: none does */
	_Atomic uint32_t least;	 /* of those with at least so many bytes */
	_Atomic uint32_t failed; /* how many have failed */
	_Atomic uint32_t ports;	 /* so many connect() find no port */
};

void *__libc_malloc(size_t);
void *__libc_calloc(size_t, size_t);
void *__libc_realloc(void *, size_t);

static struct scarce *rule;
static atomic_uint asked;
static uintptr_t from, upto; /* the program's own code */

static int find_program(struct dl_phdr_info *info, size_t size, void *ctx)
{
	(void)size;
	(void)ctx;
	for (int i = 0; i < info->dlpi_phnum; i++)
		if (info->dlpi_phdr[i].p_type == PT_LOAD && (info->dlpi_phdr[i].p_flags & PF_X)) {
			from = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
			upto = from + info->dlpi_phdr[i].p_memsz;
		}
	return 1; /* the first is the program */
}

__attribute__((constructor)) static void begin(void)
{
	const char *file = getenv("SCARCE");
	int fd = file ? open(file, O_RDWR | O_CLOEXEC) : -1;
	if (fd < 0)
		return;
	dl_iterate_phdr(find_program, NULL);
	void *mapped = mmap(NULL, sizeof *rule, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	close(fd);
	if (mapped != MAP_FAILED)
		rule = mapped;
}

static bool fails(size_t bytes, const void *caller)
{
	if (!rule || (uintptr_t)caller < from || (uintptr_t)caller >= upto)
		return false;
	uint32_t every = atomic_load(&rule->every);
	if (!every || bytes < atomic_load(&rule->least))
		return false;
	/* Scattered, or what asks twice in each attempt would fail in step with the count for ever. */
	uint32_t n = atomic_fetch_add(&asked, 1) * 2654435761u;
	if ((n >> 16) % every)
		return false;
	atomic_fetch_add(&rule->failed, 1);
	errno = ENOMEM;
	return true;
}

int connect(int fd, const struct sockaddr *to, socklen_t len)
{
	uintptr_t caller = (uintptr_t)__builtin_return_address(0);
	uint32_t left = rule ? atomic_load(&rule->ports) : 0;
	if (caller >= from && caller < upto && to->sa_family == AF_INET)
		while (left)
			if (atomic_compare_exchange_weak(&rule->ports, &left, left - 1)) {
				errno = EADDRNOTAVAIL;
				return -1;
			}
	return (int)syscall(SYS_connect, fd, to, len);
}

void *malloc(size_t n)
{
	return fails(n, __builtin_return_address(0)) ? NULL : __libc_malloc(n);
}

void *calloc(size_t count, size_t n)
{
	return fails(count * n, __builtin_return_address(0)) ? NULL : __libc_calloc(count, n);
}

void *realloc(void *was, size_t n)
{
	return fails(n, __builtin_return_address(0)) ? NULL : __libc_realloc(was, n);
}

/* How fast the store is on this machine: the numbers of docs/STORE.md. Not a test: nothing is asserted.
 * bazel run --config=opt //tests/unit/store:measure -- FOLDER */
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "store/exemptions.h"
#include "store/facts.h"

#define VERDICTS 200000
#define BATCH 5000
#define READS 1000000
#define ROUNDS 5
#define EXEMPTIONS 200
#define PUTS_PER_S 50000
#define READERS_MAX 4
#define READ_S 1 /* of a round beside puts */

static double now_s(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	return (double)ts.tv_sec + (double)ts.tv_nsec / 1e9;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static double median(double *v, size_t n)
{
	qsort(v, n, sizeof *v, by_value);
	return v[n / 2];
}

static bool done;

static void forgotten(void *loop, err_t err, uint64_t removed)
{
	(void)err, (void)removed;
	done = true;
	loop_stop(loop);
}

static void exempted(void *loop, err_t err, const struct exemption *x)
{
	(void)err, (void)x;
	done = true;
	loop_stop(loop);
}

static void await(struct loop *l)
{
	while (!done)
		loop_run(l); /* a stop may be left over from before */
	done = false;
}

static void hash_of(unsigned n, uint8_t out[STORE_KEY_BYTES])
{
	memset(out, 0, STORE_KEY_BYTES);
	for (int i = 0; i < 8; i++, n = n * 2654435761u + 1) /* spread like a hash, without its cost */
		memcpy(out + 4 * i, &n, sizeof n);
}

static void domain_of(unsigned n, char *out, size_t size)
{
	snprintf(out, size, "d%u.example.com", n % 1000);
}

static const struct verdict_fact VERDICT = { .reason = REASON_ACCEPTED,
	.phase = PHASE_RCPT,
	.code = 250,
	.operator_name = "example.net",
	.mail_host = "mx1.example.net",
	.mail_ip = "192.0.2.25",
	.source_ip = "192.0.2.1",
	.enhanced = "2.1.5",
	.rule = "accepted",
	.text = "2.1.5 Ok",
	.learned_ms = 1,
	.expires_ms = INT64_MAX };

static void put_nth(struct store *s, unsigned n)
{
	char domain[64];
	uint8_t hash[STORE_KEY_BYTES];
	domain_of(n, domain, sizeof domain);
	hash_of(n, hash);
	store_verdict_put(s, domain, hash, &VERDICT);
}

static bool get_nth(struct store *s, unsigned n)
{
	char domain[64];
	uint8_t hash[STORE_KEY_BYTES];
	struct verdict_fact v;
	domain_of(n, domain, sizeof domain);
	hash_of(n, hash);
	return !store_verdict_get(s, domain, hash, &v);
}

static void puts_per_second(struct store *s, struct loop *l)
{
	double rate[VERDICTS / BATCH];
	for (unsigned n = 0, b = 0; n < VERDICTS; b++) {
		double from = now_s();
		for (unsigned i = 0; i < BATCH; i++, n++)
			put_nth(s, n);
		if (store_forget(s, "nothing.invalid", false, l, forgotten, l))
			return;
		await(l);
		rate[b] = BATCH / (now_s() - from);
	}
	printf("verdict puts, until committed: %.0f a second\n", median(rate, VERDICTS / BATCH));
}

static void reads_per_second(struct store *s)
{
	double rate[ROUNDS];
	unsigned found = 0;
	for (int r = 0; r < ROUNDS; r++) {
		double from = now_s();
		for (unsigned i = 0; i < READS; i++)
			found += get_nth(s, i * 2654435761u % VERDICTS);
		rate[r] = READS / (now_s() - from);
	}
	printf("verdict reads, one thread: %.0f a second (%u of %u found)\n", median(rate, ROUNDS), found,
		ROUNDS * READS);
}

/* ---- beside puts ---- */

static atomic_bool stop;

struct side {
	struct store *store;
	unsigned from;
	atomic_uint done;
};

static void *read_on(void *arg)
{
	struct side *r = arg;
	for (unsigned i = r->from; !atomic_load_explicit(&stop, memory_order_relaxed); i++) {
		(void)get_nth(r->store, i * 2654435761u % VERDICTS);
		atomic_fetch_add_explicit(&r->done, 1, memory_order_relaxed);
	}
	return NULL;
}

static void *put_on(void *arg)
{
	struct side *p = arg;
	struct timespec next;
	clock_gettime(CLOCK_MONOTONIC, &next);
	for (unsigned n = 0; !atomic_load_explicit(&stop, memory_order_relaxed);) {
		for (int i = 0; i < PUTS_PER_S / 1000; i++, n++)
			put_nth(p->store, n * 2246822519u % VERDICTS);
		atomic_store_explicit(&p->done, n, memory_order_relaxed);
		next.tv_nsec += 1000000;
		next.tv_sec += next.tv_nsec / 1000000000;
		next.tv_nsec %= 1000000000;
		clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &next, NULL);
	}
	return NULL;
}

static unsigned sum(struct side *r, unsigned n)
{
	unsigned total = 0;
	for (unsigned i = 0; i < n; i++)
		total += atomic_load_explicit(&r[i].done, memory_order_relaxed);
	return total;
}

static void reads_beside_puts(struct store *s, unsigned readers)
{
	struct side r[READERS_MAX], p = { .store = s };
	pthread_t t[READERS_MAX], putter;
	double reads[ROUNDS], puts[ROUNDS];
	struct timespec round = { READ_S, 0 };
	stop = false;
	if (pthread_create(&putter, NULL, put_on, &p))
		return;
	for (unsigned i = 0; i < readers; i++) {
		r[i] = (struct side){ .store = s, .from = i * 1000003 };
		if (pthread_create(&t[i], NULL, read_on, &r[i]))
			exit(1);
	}
	for (int i = 0; i < ROUNDS; i++) {
		double from = now_s();
		unsigned got = sum(r, readers), put = sum(&p, 1);
		nanosleep(&round, NULL);
		double took = now_s() - from;
		reads[i] = (sum(r, readers) - got) / took;
		puts[i] = (sum(&p, 1) - put) / took;
	}
	stop = true;
	for (unsigned i = 0; i < readers; i++)
		pthread_join(t[i], NULL);
	pthread_join(putter, NULL);
	printf("verdict reads, %u threads beside %.0f puts a second: %.0f a second\n", readers, median(puts, ROUNDS),
		median(reads, ROUNDS));
}

static void exemption_ms(struct store *s, struct loop *l)
{
	double ms[EXEMPTIONS];
	for (unsigned i = 0; i < EXEMPTIONS; i++) {
		struct exemption x = { .by = "measure" };
		snprintf(x.domain, sizeof x.domain, "x%u.example.org", i);
		double from = now_s();
		if (store_exemption_create(s, &x, l, exempted, l))
			return;
		await(l);
		ms[i] = (now_s() - from) * 1000;
	}
	printf("an exemption, until acknowledged: %.2f ms\n", median(ms, EXEMPTIONS));
}

int main(int argc, char **argv)
{
	char key[4096];
	struct store *s;
	struct loop *l;
	struct buf why = BUF_INIT(4096);
	if (argc != 2)
		return 2;
	snprintf(key, sizeof key, "%s/hmac.key", argv[1]);
	struct store_options o = { .path = argv[1], .hmac_key = key };
	if (store_open(&o, &s, &why) || loop_new(&l)) {
		fprintf(stderr, "%s\n", buf_str(&why));
		return 1;
	}
	puts_per_second(s, l);
	reads_per_second(s);
	reads_beside_puts(s, 1);
	reads_beside_puts(s, 4);
	exemption_ms(s, l);
	store_close(s);
	loop_free(l);
	buf_free(&why);
	return 0;
}

#include "tests/unit/store/help.h"

#include <ftw.h>
#include <stdio.h>
#include <unistd.h>

#include "server/base/clock.h"

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st, (void)type, (void)ftw;
	return remove(path);
}

void remove_tree(const char *path)
{
	nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

int place_new(void **state)
{
	struct place *p = calloc(1, sizeof *p);
	const char *tmp = getenv("TEST_TMPDIR");
	snprintf(p->path, sizeof p->path, "%s/storeXXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(p->path))
		return -1;
	snprintf(p->key, sizeof p->key, "%s/hmac.key", p->path);
	p->map_bytes = MAP_BYTES;
	p->why = (struct buf)BUF_INIT(4096);
	clock_fake(NOW_MS);
	*state = p;
	return loop_new(&p->loop) ? -1 : 0;
}

int place_end(void **state)
{
	struct place *p = *state;
	store_close(p->store);
	loop_free(p->loop);
	buf_free(&p->why);
	remove_tree(p->path);
	free(p);
	clock_real();
	return 0;
}

err_t place_open(struct place *p)
{
	struct store_options o = { p->path, p->key, p->map_bytes };
	assert_null(p->store);
	buf_reset(&p->why);
	err_t err = store_open(&o, &p->store, &p->why);
	if (err)
		assert_true(p->why.len > 0); /* an error always says why */
	return err;
}

void place_must_open(struct place *p)
{
	err_t err = place_open(p);
	if (err)
		fail_msg("%s: %s", err_text(err), buf_str(&p->why));
}

void place_close(struct place *p)
{
	store_close(p->store);
	p->store = NULL;
}

const char *place_file(const struct place *p, const char *file)
{
	static char path[512];
	snprintf(path, sizeof path, "%s/%s", p->path, file);
	return path;
}

static void note(struct place *p, err_t err)
{
	p->err = err;
	p->done++;
	loop_stop(p->loop);
}

void noted(void *ctx, err_t err, const struct exemption *x)
{
	struct place *p = ctx;
	p->x = *x;
	note(p, err);
}

static void noted_removed(void *ctx, err_t err, uint64_t removed)
{
	struct place *p = ctx;
	p->removed = removed;
	note(p, err);
}

void await(struct place *p, unsigned done)
{
	while (p->done < done)
		loop_run(p->loop); /* returns after each callback: they stop it */
	p->done = 0;
}

err_t exempt(struct place *p, const char *domain)
{
	struct exemption x = { .by = "desk", .note = "asked by mail" };
	snprintf(x.domain, sizeof x.domain, "%s", domain);
	err_t err = store_exemption_create(p->store, &x, p->loop, noted, p);
	if (err)
		return err;
	await(p, 1);
	return p->err;
}

err_t lift(struct place *p, const char *id)
{
	err_t err = store_exemption_revoke(p->store, id, "chief", "", p->loop, noted, p);
	if (err)
		return err;
	await(p, 1);
	return p->err;
}

uint64_t forget(struct place *p, const char *domain, bool with_subdomains)
{
	assert_int_equal(store_forget(p->store, domain, with_subdomains, p->loop, noted_removed, p), ERR_OK);
	await(p, 1);
	assert_int_equal(p->err, ERR_OK);
	return p->removed;
}

void flush(struct place *p)
{
	forget(p, "nothing.invalid", false); /* the queue keeps its order */
}

struct verdict_fact a_verdict(int64_t expires_ms)
{
	return (struct verdict_fact){
		.reason = REASON_MAILBOX_UNKNOWN,
		.phase = PHASE_RCPT,
		.catch_all = CATCH_ALL_NO,
		.random_control = 3,
		.postmaster_control = 1,
		.code = 550,
		.attempt = 1,
		.attempts = 2,
		.operator_name = "google",
		.mail_host = "mx.example.net",
		.mail_ip = "2001:db8::25",
		.source_ip = "192.0.2.1",
		.enhanced = "5.1.1",
		.rule = "unknown-5.1.1",
		.text = "***@example.com: no such user \xef\xbf\xbd",
		.tls = { "TLSv1.3", "TLS_AES_256_GCM_SHA384", true, "00ff", "/CN=mx.example.net" },
		.learned_ms = NOW_MS,
		.expires_ms = expires_ms,
	};
}

void put_verdict(struct place *p, const char *domain, const char *local)
{
	uint8_t hash[STORE_KEY_BYTES];
	struct verdict_fact f = a_verdict(NOW_MS + 7 * DAY_MS);
	store_address_hash(p->store, local, strlen(local), hash);
	store_verdict_put(p->store, domain, hash, &f);
}

err_t get_verdict(struct place *p, const char *domain, const char *local)
{
	uint8_t hash[STORE_KEY_BYTES];
	struct verdict_fact f;
	store_address_hash(p->store, local, strlen(local), hash);
	return store_verdict_get(p->store, domain, hash, &f);
}

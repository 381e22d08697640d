/* The table of personas is sound, and each can be named in a description. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "tests/world/persona.h"

static void names_are_found(void **state)
{
	size_t n = 0;

	(void)state;
	for (; persona_at(n); n++) {
		const struct persona *p = persona_at(n);
		assert_ptr_equal(persona_find(p->name), p);
		assert_true(p->what && p->what[0]);
	}
	assert_true(n >= 40);
	assert_null(persona_at(n));
	assert_null(persona_find("nobody"));
	assert_null(persona_find(""));
}

static void faults_do_something(void **state)
{
	(void)state;
	for (size_t i = 0; persona_at(i); i++) {
		const struct fault *f = &persona_at(i)->fault;
		if (f->is_set && !f->reply && !f->raw.data && f->then == THEN_GO_ON)
			fail_msg("%s does nothing", persona_at(i)->name);
		if (!f->is_set && f->reply)
			fail_msg("%s has a reply that is never given", persona_at(i)->name);
		if (f->reply && f->then == THEN_CLOSE && strncmp(f->reply, "421", 3) != 0)
			fail_msg("%s closes after another reply than 421", persona_at(i)->name);
	}
}

static void each_can_be_described(void **state)
{
	char text[300], error[1024];

	(void)state;
	for (size_t i = 0; persona_at(i); i++) {
		const struct persona *p = persona_at(i);
		struct desc *d;
		int n = snprintf(text, sizeof text, "hosts:\n  a.example: {addresses: [127.1.0.1], persona: %s%s}\n",
			p->name, p->fault.is_set ? ", phase: rset" : "");
		d = desc_read_text("w.yaml", text, (size_t)n, error, sizeof error);
		if (!d)
			fail_msg("%s", error);
		assert_ptr_equal(d->host[0].persona, p);
		assert_int_equal(d->host[0].own.is_set, p->fault.is_set);
		if (p->fault.is_set)
			assert_int_equal(d->host[0].own.at, PHASE_RSET);
		assert_int_equal(d->host[0].pipelining, !p->no_pipelining);
		desc_free(d);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(names_are_found),
		cmocka_unit_test(faults_do_something),
		cmocka_unit_test(each_can_be_described),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}

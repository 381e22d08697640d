#pragma once
/* Time in milliseconds. The one door to the clock: a test may stand the clock still and move it by hand.
 * Any thread; the fake is for tests with one thread that moves it. */
#include <stdint.h>

int64_t clock_mono_ms(void); /* monotonic, for deadlines; its origin means nothing */
int64_t clock_wall_ms(void); /* since 1970-01-01T00:00:00Z, for what is stored and shown */

/* From here on both clocks stand still at wall_ms (monotonic: the same number) and move only by clock_fake_advance().
 */
void clock_fake(int64_t wall_ms);
void clock_fake_advance(int64_t ms);
void clock_real(void); /* ends the fake */

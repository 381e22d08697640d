#pragma once
/* One line per event on standard error: time, level, what happened as `key=value` pairs.
 * No address of a person is ever an argument (promise 8): log the session id, the domain at most. Any thread; a line is
 * one write(2). */

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARN, LOG_ERROR };

void log_set_level(enum log_level least); /* at start, before threads; LOG_INFO unless told */
void log_line(enum log_level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#define log_debug(...) log_line(LOG_DEBUG, __VA_ARGS__)
#define log_info(...) log_line(LOG_INFO, __VA_ARGS__)
#define log_warn(...) log_line(LOG_WARN, __VA_ARGS__)
#define log_error(...) log_line(LOG_ERROR, __VA_ARGS__)

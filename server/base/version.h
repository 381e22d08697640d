#pragma once
#define RCPTD_VERSION "0.1.0"

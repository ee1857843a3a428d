/* Where photos come from and integers go: files with an operating system, semihosting without one. */
#ifndef RUNNER_H
#define RUNNER_H

#include <stdint.h>

int runner_open(void);
/* 1 if all bytes were read, 0 at the end of the photos. */
int runner_read(uint8_t *bytes, uint32_t count);
void runner_write(const uint8_t *bytes, uint32_t count);
void runner_close(void);

#endif

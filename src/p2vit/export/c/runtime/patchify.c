/* Pixels to patches; subtracting 128 is one inverted bit. */
#include "p2vit_ops.h"

void p2vit_patchify(const p2vit_patchify_t *op, const uint8_t *pixels, int8_t *y)
{
    const size_t line = (size_t)op->width * (size_t)op->channels, run = (size_t)op->patch * (size_t)op->channels;
    for (int32_t top = 0; top < op->height; top += op->patch)
        for (size_t left = 0; left < line; left += run)
            for (int32_t r = 0; r < op->patch; r++) {
                const uint8_t *from = pixels + (size_t)(top + r) * line + left;
                for (size_t i = 0; i < run; i++)
                    *y++ = (int8_t)((int32_t)from[i] - 128);
            }
}

/* A camera loop for an ESP32 with camera: every picture's ${what}, on the serial line.
 * Written by hbcore as a sketch: pins are your board's.
 * The arena takes ${NAME}_RAM bytes: it lies in PSRAM.
 */
#include <esp_camera.h>

#include "${name}.h"

#if ${NAME}_WIDTH <= 240 /* the square is cut out of the middle */
#define FRAME FRAMESIZE_240X240
#elif ${NAME}_WIDTH <= 480
#define FRAME FRAMESIZE_VGA
#elif ${NAME}_WIDTH <= 768
#define FRAME FRAMESIZE_XGA
#else
#error no camera's picture is as large as the network's
#endif

static ${name}_arena *arena;
static ${element} ${into}[${count}];

void setup()
{
    Serial.begin(115200);
    camera_config_t config = {};
    /* config.pin_... = ...; as in the example CameraWebServer, for your board */
    config.pixel_format = PIXFORMAT_RGB565;
    config.frame_size = FRAME;
    config.fb_count = 1;
    config.fb_location = CAMERA_FB_IN_PSRAM;
    arena = (${name}_arena *)ps_malloc(sizeof *arena);
    if (!arena || esp_camera_init(&config) != ESP_OK || ${name}_selftest(arena) != 0) {
        Serial.println("no memory, no camera, or other results than where the model was exported");
        for (;;)
            delay(1000);
    }
}

void loop()
{
    camera_fb_t *shot = esp_camera_fb_get();
    if (!shot)
        return;
    if (shot->width >= ${NAME}_WIDTH && shot->height >= ${NAME}_HEIGHT) {
        size_t left = (shot->width - ${NAME}_WIDTH) / 2, top = (shot->height - ${NAME}_HEIGHT) / 2;
        ${name}_rgb565(arena, shot->buf + 2 * (top * shot->width + left), 2 * shot->width, ${into});
${print}    }
    esp_camera_fb_return(shot);
}

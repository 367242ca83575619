/* Modbus servers made of libmodbus: `libmodbus_server tcp`, or `libmodbus_server rtu DEVICE`.
 *
 * tcp prints its port when it listens, rtu prints 0. The image is that of modbus_image.py, encoded here
 * anew; not by libmodbus' float functions, whose names changed their meaning between its versions.
 * Unit 1. Serves until it is killed.
 */
#include <arpa/inet.h>
#include <modbus.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { REGISTERS = 400, BITS = 2016, UNIT = 1 };
enum order { ABCD, CDAB, BADC, DCBA };

static uint16_t swapped(uint16_t word) { return (uint16_t)(word << 8 | word >> 8); }

/* Writes `words` registers of a number whose lowest 16 * words bits are `bits`. */
static void put(uint16_t *at, enum order order, int words, uint64_t bits) {
  for (int index = 0; index < words; index++) {
    int place = order == CDAB || order == DCBA ? index : words - 1 - index;
    uint16_t word = (uint16_t)(bits >> 16 * place);
    at[index] = order == BADC || order == DCBA ? swapped(word) : word;
  }
}

static void fill_registers(uint16_t *image) {
  for (int order = ABCD; order <= DCBA; order++) {
    uint16_t *at = image + 40 * order;
    double fraction = -1.25e-300;
    float small = -1234.5625f;
    uint64_t bits;
    uint32_t small_bits;
    const char text[10] = "HOLDFAST";
    memcpy(&bits, &fraction, sizeof bits);
    memcpy(&small_bits, &small, sizeof small_bits);
    put(at, order, 1, (uint64_t)-12345);
    put(at + 1, order, 1, 54321);
    put(at + 2, order, 2, (uint64_t)-123456789);
    put(at + 4, order, 2, 4000000000u);
    put(at + 6, order, 2, small_bits);
    put(at + 8, order, 4, (uint64_t)-1234567890123456789);
    put(at + 12, order, 4, 17000000000000000001u);
    put(at + 16, order, 4, bits);
    for (int index = 0; index < 5; index++) {
      uint16_t word = (uint16_t)((uint8_t)text[2 * index] << 8 | (uint8_t)text[2 * index + 1]);
      at[20 + index] = order == BADC || order == DCBA ? swapped(word) : word;
    }
  }
  for (int address = 200; address < REGISTERS; address++) image[address] = (uint16_t)(address * 3);
}

static modbus_mapping_t *image(void) {
  modbus_mapping_t *map = modbus_mapping_new(BITS, BITS, REGISTERS, REGISTERS);
  if (map == NULL) return NULL;
  fill_registers(map->tab_registers);
  fill_registers(map->tab_input_registers);
  for (int bit = 0; bit < BITS; bit += 3) map->tab_bits[bit] = 1;
  for (int bit = 0; bit < BITS; bit += 5) map->tab_input_bits[bit] = 1;
  return map;
}

/* Answers until the peer is gone. */
static void serve(modbus_t *context, modbus_mapping_t *map, int tcp) {
  uint8_t query[MODBUS_TCP_MAX_ADU_LENGTH];
  for (;;) {
    int length = modbus_receive(context, query);
    if (length > 0) modbus_reply(context, query, length, map);
    if (length < 0 && tcp) return;
  }
}

static int serve_tcp(modbus_mapping_t *map) {
  modbus_t *context = modbus_new_tcp("127.0.0.1", 0);
  int listener = modbus_tcp_listen(context, 4);
  struct sockaddr_in address;
  socklen_t size = sizeof address;
  if (listener < 0 || getsockname(listener, (struct sockaddr *)&address, &size) < 0) return 1;
  printf("%d\n", ntohs(address.sin_port));
  fflush(stdout);
  while (modbus_tcp_accept(context, &listener) >= 0) {
    serve(context, map, 1);
    modbus_close(context);
  }
  return 1;
}

static int serve_rtu(modbus_mapping_t *map, const char *device) {
  modbus_t *context = modbus_new_rtu(device, 115200, 'N', 8, 1);
  if (context == NULL || modbus_set_slave(context, UNIT) < 0 || modbus_connect(context) < 0) return 1;
  /* After a request to another unit libmodbus expects that unit's reply on the line, and takes what
   * comes instead for it: a short silence must end the confusion. */
  modbus_set_byte_timeout(context, 0, 20000);
  modbus_set_error_recovery(context, MODBUS_ERROR_RECOVERY_PROTOCOL);
  printf("0\n");
  fflush(stdout);
  serve(context, map, 0);
  return 1;
}

int main(int count, char **arguments) {
  modbus_mapping_t *map = image();
  if (map == NULL || count < 2) return 1;
  return strcmp(arguments[1], "tcp") == 0 ? serve_tcp(map) : serve_rtu(map, arguments[2]);
}

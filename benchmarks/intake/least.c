/* The least that a receiver does: read, write so that it is durable, answer. No header is read, no digest taken, nothing is indexed.

   receive(connection, folder, kind): serve C-STORE requests until the association ends; returns how many.
   kind 0: written, and not flushed. 1: written and flushed. 2: written past the cache, durable when the write returns. */
#define _GNU_SOURCE
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

enum { HEAD = 352, BLOCK = 4096, NAMED_AT_ONCE = 32, MEMORY = 2 << 20, WIRE = 1 << 20 };

static uint8_t wire[WIRE];
static size_t begin, end;

static uint32_t big_endian(const uint8_t *from) { return (uint32_t)from[0] << 24 | from[1] << 16 | from[2] << 8 | from[3]; }

static int require(int connection, size_t size) {
    while (end - begin < size) {
        if (begin > WIRE / 2) {
            memmove(wire, wire + begin, end - begin);
            end -= begin;
            begin = 0;
        }
        ssize_t came = recv(connection, wire + end, sizeof wire - end, 0);
        if (came <= 0) return 0;
        end += came;
    }
    return 1;
}

/* A data set, each value of which fills its PDU, behind the head. */
static ssize_t read_data_set(int connection, uint8_t *memory) {
    size_t size = 0;
    for (int is_last = 0; !is_last;) {
        if (!require(connection, 12)) return -1;
        size_t left = big_endian(wire + begin + 2) - 6;
        is_last = wire[begin + 11] & 2;
        begin += 12;
        size_t here = end - begin < left ? end - begin : left;
        if (HEAD + size + left > MEMORY) return -1;
        memcpy(memory + HEAD + size, wire + begin, here);
        for (begin += here, size += here, left -= here; left;) {
            ssize_t came = recv(connection, memory + HEAD + size, left, 0);
            if (came <= 0) return -1;
            size += came;
            left -= came;
        }
        if (begin == end) begin = end = 0;
    }
    return size;
}

static uint8_t *element(uint8_t *into, uint16_t number, const void *value, uint32_t size) {
    uint8_t head[8] = {0, 0, number & 255, number >> 8, size, size >> 8, size >> 16, size >> 24};
    memcpy(into, head, 8);
    memcpy(into + 8, value, size);
    return into + 8 + size;
}

int receive(int connection, const char *folder, int kind) {
    int served = 0, on = 1, named[NAMED_AT_ONCE], names = 0, directory = open(folder, O_RDONLY | O_DIRECTORY);
    uint8_t *memory = mmap(NULL, MEMORY, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0);
    setsockopt(connection, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    for (;; served++) {
        if (!require(connection, 6) || wire[begin] != 4) return served;
        size_t length = big_endian(wire + begin + 2);
        if (!require(connection, 6 + length)) return served;
        uint8_t context = wire[begin + 10], sop_class[66], instance[66], message[2] = {0}, *until = wire + begin + 6 + length;
        uint32_t class_size = 0, instance_size = 0;
        for (uint8_t *from = wire + begin + 12; from + 8 <= until;) {
            uint16_t number = from[2] | from[3] << 8;
            uint32_t size = from[4] | from[5] << 8;
            from += 8;
            if (size > 66) return served;
            if (number == 0x0002) memcpy(sop_class, from, class_size = size);
            if (number == 0x1000) memcpy(instance, from, instance_size = size);
            if (number == 0x0110) memcpy(message, from, 2);
            from += size;
        }
        begin += 6 + length;
        ssize_t size = read_data_set(connection, memory);
        if (size < 0) return served;
        if (!names) {
            for (; names < NAMED_AT_ONCE; names++) {
                char path[4096];
                snprintf(path, sizeof path, "%s/%d-%d-%d.dcm", folder, getpid(), served, names);
                named[names] = open(path, O_CREAT | O_RDWR | (kind == 2 ? O_DIRECT : 0), 0600);
            }
            if (kind) fsync(directory);
        }
        int file = named[--names];
        size_t all = HEAD + size, blocks = (all + BLOCK - 1) / BLOCK * BLOCK;
        struct iovec whole = {memory, kind == 2 ? blocks : all};
        if (pwritev2(file, &whole, 1, 0, kind == 2 ? RWF_DSYNC : 0) < 0 || (kind == 1 && fdatasync(file))) return served;
        close(file);
        uint8_t answer[400], *to = answer + 24, zero[4] = {0}, response[2] = {0x01, 0x80}, none[2] = {0x01, 0x01};
        to = element(to, 0x0002, sop_class, class_size);
        to = element(to, 0x0100, response, 2);
        to = element(to, 0x0120, message, 2);
        to = element(to, 0x0800, none, 2);
        to = element(to, 0x0900, zero, 2);
        to = element(to, 0x1000, instance, instance_size);
        uint32_t group = to - answer - 24, value = to - answer - 10, pdu = value + 4;
        element(answer + 12, 0x0000, &group, 4);
        uint8_t head[12] = {4, 0, 0, 0, pdu >> 8, pdu, 0, 0, value >> 8, value, context, 3};
        memcpy(answer, head, 12);
        if (send(connection, answer, to - answer, 0) < 0) return served;
    }
}

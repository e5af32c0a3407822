/* Records as the service gives them out, from their stored bytes: recordlayer_server/record_bytes.py. */

#include "core.h"

/* No unsigned numbers: records cannot have them. */
enum { INT32 = 'i', INT64 = 'l', SINT32 = 's', SINT64 = 'z', SFIXED32 = 'f', SFIXED64 = 'F', BOOL = 'b', FLOAT = 'q',
       DOUBLE = 'd', STRING = 't', BYTES = 'y' };

#define SYSTEM_FIELDS 8 /* zone, name, created_at, created_by, created_on, modified_at, modified_by, modified_on */

typedef struct {
    const unsigned char *bytes;
    Py_ssize_t size;
} Text;

typedef struct {
    uint64_t seconds, micros;
    Text user, device;
} Change;

/* 0 where there is no whole number of at most 64 bits. */
static int read_varint(const unsigned char **at, const unsigned char *end, uint64_t *number)
{
    *number = 0;
    for (int shift = 0; shift < 64 && *at < end; shift += 7) {
        unsigned char byte = *(*at)++;
        if (shift == 63 && byte > 1)
            return 0;
        *number |= (uint64_t)(byte & 0x7F) << shift;
        if (byte < 0x80)
            return 1;
    }
    return 0;
}

/* Of a tag, or of the length of something: 32 bits in at most 5 bytes. */
static int read_short(const unsigned char **at, const unsigned char *end, uint64_t *number)
{
    const unsigned char *begin = *at;
    return read_varint(at, end, number) && *at - begin <= 5 && *number <= UINT32_MAX;
}

static int read_text(const unsigned char **at, const unsigned char *end, Text *text)
{
    uint64_t size;
    if (!read_short(at, end, &size) || size > (uint64_t)(end - *at))
        return 0;
    text->bytes = *at;
    text->size = (Py_ssize_t)size;
    *at += size;
    return 1;
}

static uint64_t little(const unsigned char *from, int size)
{
    uint64_t number = 0;
    for (int place = size; place-- > 0;)
        number = number << 8 | from[place];
    return number;
}

static Outcome check_utf8(Text text)
{
    unsigned char all = 0;
    for (Py_ssize_t at = 0; at < text.size; at++)
        all |= text.bytes[at];
    if (!(all & 0x80))
        return ELEMENT_READ;
    PyObject *read = PyUnicode_DecodeUTF8((const char *)text.bytes, text.size, NULL);
    if (read == NULL)
        return refused();
    Py_DECREF(read);
    return ELEMENT_READ;
}

static int varint_size(uint64_t number)
{
    int size = 1;
    for (; number > 0x7F; number >>= 7)
        size++;
    return size;
}

/* Of a field of one of these sizes, with a tag of one byte. */
static Py_ssize_t field_size(Py_ssize_t size)
{
    return 1 + varint_size((uint64_t)size) + size;
}

static Py_ssize_t text_size(Text text)
{
    return text.size ? field_size(text.size) : 0;
}

/* What follows writes where room was made before. */

static unsigned char *put_varint(unsigned char *to, uint64_t number)
{
    for (; number > 0x7F; number >>= 7)
        *to++ = (unsigned char)(0x80 | (number & 0x7F));
    *to++ = (unsigned char)number;
    return to;
}

static unsigned char *put_head(unsigned char *to, unsigned char tag, Py_ssize_t size)
{
    *to++ = tag;
    return put_varint(to, (uint64_t)size);
}

static unsigned char *put_text(unsigned char *to, unsigned char tag, Text text)
{
    if (!text.size)
        return to;
    to = put_head(to, tag, text.size);
    memcpy(to, text.bytes, (size_t)text.size);
    return to + text.size;
}

static Py_ssize_t time_size(const Change *change)
{
    uint64_t nanos = change->micros * 1000;
    return (change->seconds ? 1 + varint_size(change->seconds) : 0) + (nanos ? 1 + varint_size(nanos) : 0);
}

static Py_ssize_t change_size(const Change *change)
{
    return field_size(time_size(change)) + text_size(change->user) + text_size(change->device);
}

static unsigned char *put_change(unsigned char *to, unsigned char tag, const Change *change)
{
    to = put_head(to, tag, change_size(change));
    to = put_head(to, 0x0A, time_size(change));
    if (change->seconds) {
        *to++ = 0x08;
        to = put_varint(to, change->seconds);
    }
    if (change->micros) {
        *to++ = 0x10;
        to = put_varint(to, change->micros * 1000);
    }
    to = put_text(to, 0x12, change->user);
    return put_text(to, 0x1A, change->device);
}

/* -- what the server keeps of a record -- */

static int read_system(Text all, Text *zone, Text *name, Change *created, Change *modified)
{
    const unsigned char *at = all.bytes, *end = at + all.size;
    Text *texts[] = {zone, name, NULL, &created->user, &created->device, NULL, &modified->user, &modified->device};
    unsigned seen = 0;
    while (at < end) {
        int field = (*at >> 3) - 1;
        if (field < 0 || field >= SYSTEM_FIELDS || seen & 1u << field)
            return 0;
        seen |= 1u << field;
        unsigned char type = *at++ & 7;
        if (texts[field] != NULL) {
            if (type != 2 || !read_text(&at, end, texts[field]))
                return 0;
            continue;
        }
        uint64_t micros;
        if (type != 0 || !read_varint(&at, end, &micros) || micros > INT64_MAX)
            return 0;
        Change *change = field == 2 ? created : modified;
        change->seconds = micros / 1000000;
        change->micros = micros % 1000000;
    }
    return 1;
}

/* -- its fields -- */

/* An entry of a map behind what is there: `key` is the field of the entry that has the name, in bytes. */
static Outcome put_entry(Buffer *out, PyObject *key, unsigned char tag, const unsigned char *fixed, uint64_t number,
                         const Text *text)
{
    Py_ssize_t value = 1 + (text != NULL ? varint_size((uint64_t)text->size) + text->size
                            : fixed != NULL ? 8 : varint_size(number));
    Py_ssize_t size = PyBytes_GET_SIZE(key) + field_size(value);
    if (buffer_reserve(out, field_size(size)) < 0)
        return ELEMENT_FAILED;
    unsigned char *to = put_head((unsigned char *)out->bytes + out->size, 0x0A, size);
    memcpy(to, PyBytes_AS_STRING(key), (size_t)PyBytes_GET_SIZE(key));
    to = put_head(to + PyBytes_GET_SIZE(key), 0x12, value);
    *to++ = tag;
    if (text != NULL) {
        to = put_varint(to, (uint64_t)text->size);
        memcpy(to, text->bytes, (size_t)text->size);
        to += text->size;
    } else if (fixed != NULL) {
        memcpy(to, fixed, 8);
        to += 8;
    } else {
        to = put_varint(to, number);
    }
    out->size = to - (unsigned char *)out->bytes;
    return ELEMENT_READ;
}

static Outcome put_integer(Buffer *out, PyObject *key, int implicit, int64_t number)
{
    if (implicit && !number)
        return ELEMENT_UNUSUAL;
    return put_entry(out, key, 0x18, NULL, (uint64_t)number << 1 ^ (number < 0 ? ~(uint64_t)0 : 0), NULL);
}

static Outcome put_double(Buffer *out, PyObject *key, int implicit, double number)
{
    uint64_t bits;
    memcpy(&bits, &number, sizeof bits);
    if (number != number || (implicit && !bits)) /* there is more than one that is no number */
        return ELEMENT_UNUSUAL;
    unsigned char fixed[8];
    for (int place = 0; place < 8; place++)
        fixed[place] = (unsigned char)(bits >> (8 * place));
    return put_entry(out, key, 0x21, fixed, 0, NULL);
}

/* One field of the message, of the wire type `type`. */
static Outcome put_field(Buffer *out, char kind, int implicit, PyObject *key, unsigned type, const unsigned char **at,
                         const unsigned char *end)
{
    uint64_t number = 0;
    Text text;
    switch (type) {
    case 0:
        if (!read_varint(at, end, &number))
            return ELEMENT_UNUSUAL;
        switch (kind) {
        case INT32:
            return put_integer(out, key, implicit, (int32_t)(uint32_t)number);
        case SINT32:
            number = (uint32_t)number;
            return put_integer(out, key, implicit, (int64_t)(number >> 1 ^ (number & 1 ? ~(uint64_t)0 : 0)));
        case SINT64:
            return put_integer(out, key, implicit, (int64_t)(number >> 1 ^ (number & 1 ? ~(uint64_t)0 : 0)));
        case INT64:
            return put_integer(out, key, implicit, (int64_t)number);
        case BOOL:
            return implicit && !number ? ELEMENT_UNUSUAL : put_entry(out, key, 0x10, NULL, number != 0, NULL);
        default:
            return ELEMENT_UNUSUAL;
        }
    case 1:
        if (end - *at < 8)
            return ELEMENT_UNUSUAL;
        number = little(*at, 8);
        *at += 8;
        if (kind == DOUBLE) {
            double value;
            memcpy(&value, &number, sizeof value);
            return put_double(out, key, implicit, value);
        }
        return kind == SFIXED64 ? put_integer(out, key, implicit, (int64_t)number) : ELEMENT_UNUSUAL;
    case 5:
        if (end - *at < 4)
            return ELEMENT_UNUSUAL;
        number = little(*at, 4);
        *at += 4;
        if (kind == FLOAT) {
            uint32_t bits = (uint32_t)number;
            float value;
            memcpy(&value, &bits, sizeof value);
            return put_double(out, key, implicit, value);
        }
        return kind == SFIXED32 ? put_integer(out, key, implicit, (int32_t)(uint32_t)number) : ELEMENT_UNUSUAL;
    case 2:
        if ((kind != STRING && kind != BYTES) || !read_text(at, end, &text) || (implicit && !text.size))
            return ELEMENT_UNUSUAL;
        Outcome outcome = kind == STRING ? check_utf8(text) : ELEMENT_READ;
        return outcome == ELEMENT_READ ? put_entry(out, key, kind == STRING ? 0x2A : 0x32, NULL, 0, &text) : outcome;
    default:
        return ELEMENT_UNUSUAL;
    }
}

/* The fields of a message as entries of a map; the field `system_number` apart. `plan` has (number, kind, implicit, key)
   for each that can be read here, in the order of their numbers, which is that in which most messages have them: what
   comes in another order, or twice, is left to Python. */
static Outcome put_fields(Buffer *out, PyObject *plan, uint64_t system_number, Text body, Text *system)
{
    const unsigned char *at = body.bytes, *end = at + body.size;
    Py_ssize_t place = 0;
    while (at < end) {
        uint64_t tag;
        if (!read_short(&at, end, &tag))
            return ELEMENT_UNUSUAL;
        if (tag >> 3 == system_number) {
            if ((tag & 7) != 2 || system->bytes != NULL || !read_text(&at, end, system))
                return ELEMENT_UNUSUAL;
            continue;
        }
        PyObject *field = NULL;
        for (; place < PyTuple_GET_SIZE(plan) && field == NULL; place++) {
            PyObject *each = PyTuple_GET_ITEM(plan, place);
            if (PyLong_AsUnsignedLongLong(PyTuple_GET_ITEM(each, 0)) == tag >> 3)
                field = each;
        }
        if (field == NULL)
            return ELEMENT_UNUSUAL;
        char kind = PyBytes_AS_STRING(PyTuple_GET_ITEM(field, 1))[0];
        int implicit = PyTuple_GET_ITEM(field, 2) == Py_True;
        Outcome outcome = put_field(out, kind, implicit, PyTuple_GET_ITEM(field, 3), (unsigned)(tag & 7), &at, end);
        if (outcome != ELEMENT_READ)
            return outcome;
    }
    return ELEMENT_READ;
}

/* kept: the function in Python, the number of the server's field, the plan, the field of the record's type */
static PyObject *record_bytes(PyObject *kept, PyObject *const *args, Py_ssize_t count, PyObject *keywords)
{
    PyObject *slow = PyTuple_GET_ITEM(kept, 0), *head = PyTuple_GET_ITEM(kept, 3), *made = NULL;
    if (keywords != NULL || count != 2 || !PyBytes_CheckExact(args[0]) || !PyBytes_CheckExact(args[1]))
        return PyObject_Vectorcall(slow, args, (size_t)count, keywords);
    uint64_t system_number = PyLong_AsUnsignedLongLong(PyTuple_GET_ITEM(kept, 1));
    Text body = {(const unsigned char *)PyBytes_AS_STRING(args[0]), PyBytes_GET_SIZE(args[0])};
    Text version = {(const unsigned char *)PyBytes_AS_STRING(args[1]), PyBytes_GET_SIZE(args[1])};
    Text system = {NULL, 0}, zone = {NULL, 0}, name = {NULL, 0};
    Change created = {0, 0, {NULL, 0}, {NULL, 0}}, modified = created;
    Buffer fields;
    buffer_init(&fields);
    Outcome outcome = put_fields(&fields, PyTuple_GET_ITEM(kept, 2), system_number, body, &system);
    if (outcome == ELEMENT_READ &&
        (system.bytes == NULL || !read_system(system, &zone, &name, &created, &modified)))
        outcome = ELEMENT_UNUSUAL;
    Text texts[] = {zone, name, created.user, created.device, modified.user, modified.device};
    for (size_t at = 0; outcome == ELEMENT_READ && at < sizeof texts / sizeof *texts; at++)
        outcome = check_utf8(texts[at]);
    if (outcome == ELEMENT_READ) {
        Py_ssize_t zone_size = text_size(zone), name_size = field_size(zone_size) + text_size(name);
        Py_ssize_t size = field_size(name_size) + PyBytes_GET_SIZE(head) + field_size(fields.size) + text_size(version) +
                          field_size(change_size(&created)) + field_size(change_size(&modified));
        made = PyBytes_FromStringAndSize(NULL, size);
        if (made == NULL)
            outcome = ELEMENT_FAILED;
    }
    if (outcome == ELEMENT_READ) {
        Py_ssize_t zone_size = text_size(zone);
        unsigned char *to = (unsigned char *)PyBytes_AS_STRING(made);
        to = put_head(to, 0x0A, field_size(zone_size) + text_size(name));
        to = put_text(put_head(to, 0x0A, zone_size), 0x0A, zone);
        to = put_text(to, 0x12, name);
        memcpy(to, PyBytes_AS_STRING(head), (size_t)PyBytes_GET_SIZE(head));
        to = put_head(to + PyBytes_GET_SIZE(head), 0x1A, fields.size);
        memcpy(to, fields.bytes, (size_t)fields.size);
        to = put_text(to + fields.size, 0x32, version);
        put_change(put_change(to, 0x3A, &created), 0x42, &modified);
    }
    buffer_free(&fields);
    if (outcome == ELEMENT_UNUSUAL)
        return PyObject_Vectorcall(slow, args, (size_t)count, keywords);
    return made;
}

FUNCTION(record_bytes, "(body, version)", 3, "A record as it goes out: recordlayer_server.record_bytes, in C.")

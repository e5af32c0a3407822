/* From packed tuples to values: tuples/unpacking.py. */

#include "core.h"

/* Where the 00 is that ends text or bytes, from `at` on; -1 if there is none. `*escaped` counts the 00 before it that
   are data. */
static Py_ssize_t terminator(const unsigned char *bytes, Py_ssize_t size, Py_ssize_t at, Py_ssize_t *escaped)
{
    *escaped = 0;
    while (at < size) {
        const unsigned char *found = memchr(bytes + at, 0, (size_t)(size - at));
        if (found == NULL)
            return -1;
        at = found - bytes;
        if (at + 1 >= size || bytes[at + 1] != 0xFF)
            return at;
        ++*escaped;
        at += 2;
    }
    return -1;
}

static PyObject *without_escapes(const unsigned char *from, Py_ssize_t size, Py_ssize_t escaped)
{
    PyObject *raw = PyBytes_FromStringAndSize(NULL, size - escaped);
    if (raw == NULL)
        return NULL;
    unsigned char *to = (unsigned char *)PyBytes_AS_STRING(raw);
    for (Py_ssize_t at = 0; at < size; at++) {
        *to++ = from[at];
        if (from[at] == 0)
            at++; /* the ff behind it */
    }
    return raw;
}

static PyObject *int_from(const unsigned char *bytes, int length, int negative)
{
    unsigned long long number = 0;
    for (int at = 0; at < length; at++)
        number = number << 8 | bytes[at];
    if (!negative)
        return PyLong_FromUnsignedLongLong(number);
    unsigned long long all = length == 8 ? ~0ULL : (1ULL << (8 * length)) - 1;
    unsigned long long size = all - number;
    if (size <= LLONG_MAX)
        return PyLong_FromLongLong(-(long long)size);
    PyObject *positive = PyLong_FromUnsignedLongLong(size);
    if (positive == NULL)
        return NULL;
    PyObject *value = PyNumber_Negative(positive);
    Py_DECREF(positive);
    return value;
}

static PyObject *float_from(const unsigned char *bytes)
{
    uint64_t bits = 0;
    for (int at = 0; at < 8; at++)
        bits = bits << 8 | bytes[at];
    bits = bits >> 63 ? bits ^ (uint64_t)1 << 63 : ~bits;
    double value;
    memcpy(&value, &bits, sizeof value);
    return PyFloat_FromDouble(value);
}

static Outcome made(PyObject *value, PyObject **result)
{
    *result = value;
    return value == NULL ? ELEMENT_FAILED : ELEMENT_READ;
}

static Outcome read_text(const unsigned char *bytes, Py_ssize_t size, Py_ssize_t *at, PyObject **value)
{
    Py_ssize_t begin = *at + 1, escaped, end = terminator(bytes, size, begin, &escaped);
    if (end < 0)
        return ELEMENT_UNUSUAL;
    int text = bytes[*at] == 0x02;
    *at = end + 1;
    if (!escaped && !text)
        return made(PyBytes_FromStringAndSize((const char *)bytes + begin, end - begin), value);
    PyObject *made_text;
    if (!escaped) {
        made_text = PyUnicode_DecodeUTF8((const char *)bytes + begin, end - begin, NULL);
    } else {
        PyObject *raw = without_escapes(bytes + begin, end - begin, escaped);
        if (raw == NULL || !text)
            return made(raw, value);
        made_text = PyUnicode_DecodeUTF8(PyBytes_AS_STRING(raw), PyBytes_GET_SIZE(raw), NULL);
        Py_DECREF(raw);
    }
    return made_text == NULL ? refused() : made(made_text, value);
}

/* What the Python decoder of a rare code makes of it. */
static Outcome read_rare(PyObject *decoders, PyObject *data, Py_ssize_t size, Py_ssize_t *at, unsigned char code,
                         PyObject **value)
{
    PyObject *place = PyLong_FromSsize_t(*at);
    if (place == NULL)
        return ELEMENT_FAILED;
    PyObject *args[2] = {data, place};
    PyObject *read = PyObject_Vectorcall(PyTuple_GET_ITEM(decoders, code), args, 2, NULL);
    Py_DECREF(place);
    if (read == NULL)
        return refused();
    Outcome outcome = ELEMENT_UNUSUAL;
    if (PyTuple_CheckExact(read) && PyTuple_GET_SIZE(read) == 2 && PyLong_CheckExact(PyTuple_GET_ITEM(read, 1))) {
        Py_ssize_t behind = PyLong_AsSsize_t(PyTuple_GET_ITEM(read, 1));
        if (behind > *at && behind <= size) {
            *at = behind;
            *value = Py_NewRef(PyTuple_GET_ITEM(read, 0));
            outcome = ELEMENT_READ;
        } else {
            PyErr_Clear();
        }
    }
    Py_DECREF(read);
    return outcome;
}

static Outcome read_nested(PyObject *decoders, PyObject *data, const unsigned char *bytes, Py_ssize_t size,
                           Py_ssize_t *at, int depth, PyObject **value);

static Outcome read_one(PyObject *decoders, PyObject *data, const unsigned char *bytes, Py_ssize_t size, Py_ssize_t *at,
                        int depth, PyObject **value)
{
    unsigned char code = bytes[*at];
    if (code == 0x02 || code == 0x01)
        return read_text(bytes, size, at, value);
    if (code >= 0x0C && code <= 0x1C) {
        int length = code >= 0x14 ? code - 0x14 : 0x14 - code;
        if (length >= size - *at)
            return ELEMENT_UNUSUAL;
        const unsigned char *from = bytes + *at + 1;
        *at += 1 + length;
        return made(int_from(from, length, code < 0x14), value);
    }
    switch (code) {
    case 0x00:
        *at += 1;
        return made(Py_NewRef(Py_None), value);
    case 0x05:
        return read_nested(decoders, data, bytes, size, at, depth, value);
    case 0x21:
        if (size - *at < 9)
            return ELEMENT_UNUSUAL;
        *at += 9;
        return made(float_from(bytes + *at - 8), value);
    case 0x26:
    case 0x27:
        *at += 1;
        return made(PyBool_FromLong(code == 0x27), value);
    default:
        return read_rare(decoders, data, size, at, code, value);
    }
}

static Outcome read_nested(PyObject *decoders, PyObject *data, const unsigned char *bytes, Py_ssize_t size,
                           Py_ssize_t *at, int depth, PyObject **value)
{
    if (depth >= MAX_DEPTH)
        return ELEMENT_UNUSUAL;
    PyObject *items = PyList_New(0);
    if (items == NULL)
        return ELEMENT_FAILED;
    Outcome outcome = ELEMENT_UNUSUAL; /* if the end is missing */
    *at += 1;
    while (*at < size) {
        PyObject *item;
        if (bytes[*at] == 0x00 && *at + 1 < size && bytes[*at + 1] == 0xFF) {
            item = Py_NewRef(Py_None);
            *at += 2;
        } else if (bytes[*at] == 0x00) {
            *at += 1;
            outcome = made(PyList_AsTuple(items), value);
            break;
        } else {
            Outcome read = read_one(decoders, data, bytes, size, at, depth + 1, &item);
            if (read != ELEMENT_READ) {
                outcome = read;
                break;
            }
        }
        int failed = PyList_Append(items, item);
        Py_DECREF(item);
        if (failed) {
            outcome = ELEMENT_FAILED;
            break;
        }
    }
    Py_DECREF(items);
    return outcome;
}

Outcome read_element(PyObject *decoders, PyObject *data, const unsigned char *bytes, Py_ssize_t size, Py_ssize_t *at,
                     PyObject **value)
{
    return read_one(decoders, data, bytes, size, at, 0, value);
}

int is_decoders(PyObject *object)
{
    return PyTuple_CheckExact(object) && PyTuple_GET_SIZE(object) == 256;
}

#define FEW 16

static Outcome read_all(PyObject *decoders, PyObject *data, Py_ssize_t at, PyObject **result)
{
    const unsigned char *bytes = (const unsigned char *)PyBytes_AS_STRING(data);
    Py_ssize_t size = PyBytes_GET_SIZE(data), count = 0;
    PyObject *few[FEW], *more = NULL; /* the first elements, and a list of all if there are more */
    Outcome outcome = ELEMENT_READ;
    while (at < size) {
        PyObject *item;
        outcome = read_one(decoders, data, bytes, size, &at, 0, &item);
        if (outcome != ELEMENT_READ)
            break;
        if (count < FEW) {
            few[count++] = item;
            continue;
        }
        if (more == NULL && (more = PyList_New(0)) == NULL)
            outcome = ELEMENT_FAILED;
        else if (PyList_Append(more, item) < 0)
            outcome = ELEMENT_FAILED;
        Py_DECREF(item);
        if (outcome != ELEMENT_READ)
            break;
    }
    PyObject *items = NULL;
    if (outcome == ELEMENT_READ) {
        Py_ssize_t rest = more == NULL ? 0 : PyList_GET_SIZE(more);
        items = PyTuple_New(count + rest);
        for (Py_ssize_t place = 0; items != NULL && place < count + rest; place++)
            PyTuple_SET_ITEM(items, place,
                             Py_NewRef(place < count ? few[place] : PyList_GET_ITEM(more, place - count)));
        if (items == NULL)
            outcome = ELEMENT_FAILED;
    }
    while (count > 0)
        Py_DECREF(few[--count]);
    Py_XDECREF(more);
    *result = items;
    return outcome;
}

static PyObject *unpack(PyObject *kept, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    PyObject *slow = PyTuple_GET_ITEM(kept, 0), *decoders = PyTuple_GET_ITEM(kept, 1);
    if (names == NULL && (count == 1 || (count == 2 && PyLong_CheckExact(args[1]))) && PyBytes_CheckExact(args[0])) {
        Py_ssize_t at = 0;
        if (count == 2 && (at = PyLong_AsSsize_t(args[1])) == -1)
            PyErr_Clear();
        if (at >= 0 && at <= PyBytes_GET_SIZE(args[0])) {
            PyObject *items;
            if (read_all(decoders, args[0], at, &items) != ELEMENT_UNUSUAL)
                return items;
        }
    }
    return PyObject_Vectorcall(slow, args, (size_t)count, names);
}

static PyMethodDef unpack_method = {
    "unpack", (PyCFunction)(void (*)(void))unpack, METH_FASTCALL | METH_KEYWORDS,
    "unpack(data, offset=0)\n--\n\nThe tuple packed in `data` from `offset` on: recordlayer.tuples.unpacking, in C."};

const char make_unpack_doc[] =
    "make_unpack(unpack, decoders, /)\n--\n\n`unpack` in C; the function and the decoders of "
    "recordlayer.tuples.unpacking take what is rare or wrong.";

PyObject *make_unpack(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    if (count != 2 || !is_decoders(args[1])) {
        PyErr_SetString(PyExc_TypeError, "make_unpack takes unpack and its 256 decoders");
        return NULL;
    }
    return closure(&unpack_method, PyTuple_Pack(2, args[0], args[1]));
}

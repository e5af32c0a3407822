/* All entries and records of a page at once: query/plan/entry_code.py, index/page.py, metadata/envelope.py. */

#include "core.h"

/* The pairs of a page: a list of tuples of two bytes. */
static PyObject *key_of(PyObject *pairs, Py_ssize_t place)
{
    PyObject *pair = PyList_GET_ITEM(pairs, place);
    if (!PyTuple_CheckExact(pair) || PyTuple_GET_SIZE(pair) != 2)
        return NULL;
    PyObject *key = PyTuple_GET_ITEM(pair, 0);
    return PyBytes_CheckExact(key) ? key : NULL;
}

/* A page of a type that has no surprises, and a place in its keys. */
static int usual_page(PyObject *const *args, Py_ssize_t count, PyObject *names, Py_ssize_t *start)
{
    if (names != NULL || count != 2 || !PyList_CheckExact(args[0]) || !PyLong_CheckExact(args[1]))
        return 0;
    *start = PyLong_AsSsize_t(args[1]);
    if (*start == -1)
        PyErr_Clear();
    return *start >= 0;
}

/* -- messages read together -- */

/* Who keeps one message of those that were read together keeps the memory of all. */
#define MOST_TOGETHER 128
#define MOST_BYTES_TOGETHER (64 << 10)

/* Serialised messages on their way to a parser of pages (pb/pages.py): each as field 1 of what will be read. */
typedef struct {
    PyObject *parse; /* None where there is no such parser */
    Buffer bytes;
    Py_ssize_t count;
} Together;

static void together_init(Together *together, PyObject *parse)
{
    together->parse = parse;
    together->count = 0;
    buffer_init(&together->bytes);
}

/* Reads what has come together, and adds it to a list. */
static Outcome together_read(Together *together, PyObject *made)
{
    if (!together->count)
        return ELEMENT_READ;
    PyObject *page = PyBytes_FromStringAndSize(together->bytes.bytes, together->bytes.size);
    PyObject *messages = page == NULL ? NULL : PyObject_CallOneArg(together->parse, page);
    Outcome outcome = page == NULL ? ELEMENT_FAILED : messages == NULL ? refused() : ELEMENT_READ;
    Py_XDECREF(page);
    if (outcome != ELEMENT_READ)
        return outcome;
    if (!PyList_CheckExact(messages) || PyList_GET_SIZE(messages) != together->count)
        outcome = ELEMENT_UNUSUAL;
    else if (PyList_SetSlice(made, PY_SSIZE_T_MAX, PY_SSIZE_T_MAX, messages) < 0)
        outcome = ELEMENT_FAILED;
    Py_DECREF(messages);
    together->bytes.size = together->count = 0;
    return outcome;
}

static Outcome together_add(Together *together, const char *bytes, Py_ssize_t size, PyObject *made)
{
    if (size > INT32_MAX || buffer_reserve(&together->bytes, size + 6) < 0)
        return size > INT32_MAX ? ELEMENT_UNUSUAL : ELEMENT_FAILED;
    char *to = together->bytes.bytes + together->bytes.size;
    Py_ssize_t left = size;
    *to++ = 0x0A;
    for (; left > 0x7F; left >>= 7)
        *to++ = (char)(0x80 | (left & 0x7F));
    *to++ = (char)left;
    memcpy(to, bytes, (size_t)size);
    together->bytes.size = to + size - together->bytes.bytes;
    together->count++;
    if (together->count < MOST_TOGETHER && together->bytes.size < MOST_BYTES_TOGETHER)
        return ELEMENT_READ;
    return together_read(together, made);
}

/* One message, read by itself. */
static Outcome read_alone(PyObject *parse, const char *bytes, Py_ssize_t size, PyObject *made)
{
    PyObject *body = PyBytes_FromStringAndSize(bytes, size);
    PyObject *one = body == NULL ? NULL : PyObject_CallOneArg(parse, body);
    Outcome outcome = body == NULL ? ELEMENT_FAILED : one == NULL ? refused() : ELEMENT_READ;
    Py_XDECREF(body);
    if (outcome == ELEMENT_READ && PyList_Append(made, one) < 0)
        outcome = ELEMENT_FAILED;
    Py_XDECREF(one);
    return outcome;
}

/* -- messages of entries -- */

/* Packed columns become fields of a serialised message, and no Python value in between. What of a column goes where is a
   tuple for each: None for a column that is read and left out, or (kind, tag). */

enum { INT32 = 'i', INT64 = 'l', UINT32 = 'u', UINT64 = 'w', SINT32 = 's', SINT64 = 'z', BOOL = 'b', DOUBLE = 'd',
       STRING = 't', BYTES = 'y' };

typedef struct {
    char kind;
    const char *tag;
    Py_ssize_t tag_size;
} Field;

static Outcome put(Buffer *out, const void *bytes, Py_ssize_t size)
{
    if (buffer_reserve(out, size) < 0)
        return ELEMENT_FAILED;
    memcpy(out->bytes + out->size, bytes, (size_t)size);
    out->size += size;
    return ELEMENT_READ;
}

static Outcome put_varint(Buffer *out, const Field *field, uint64_t number)
{
    unsigned char bytes[10];
    int size = 0;
    do {
        bytes[size++] = (unsigned char)(number & 0x7F) | (number > 0x7F ? 0x80 : 0);
        number >>= 7;
    } while (number);
    Outcome outcome = put(out, field->tag, field->tag_size);
    return outcome == ELEMENT_READ ? put(out, bytes, size) : outcome;
}

static Outcome put_number(Buffer *out, const Field *field, int negative, uint64_t size)
{
    if (negative && size > (uint64_t)1 << 63)
        return ELEMENT_UNUSUAL;
    int64_t number = negative ? (int64_t)-size : (int64_t)size; /* only looked at where it fits */
    int fits64 = negative || size <= INT64_MAX;
    int fits32 = fits64 && number >= INT32_MIN && number <= INT32_MAX;
    switch (field->kind) {
    case 0:
        return ELEMENT_READ;
    case INT32:
        return fits32 ? put_varint(out, field, (uint64_t)number) : ELEMENT_UNUSUAL;
    case INT64:
        return fits64 ? put_varint(out, field, (uint64_t)number) : ELEMENT_UNUSUAL;
    case UINT32:
        return !(negative && size) && size <= UINT32_MAX ? put_varint(out, field, size) : ELEMENT_UNUSUAL;
    case UINT64:
        return !(negative && size) ? put_varint(out, field, size) : ELEMENT_UNUSUAL;
    case SINT32:
    case SINT64:
        if (field->kind == SINT32 ? !fits32 : !fits64)
            return ELEMENT_UNUSUAL;
        return put_varint(out, field, (uint64_t)number << 1 ^ (number < 0 ? ~(uint64_t)0 : 0));
    default:
        return ELEMENT_UNUSUAL;
    }
}

static Outcome put_text(Buffer *out, const Field *field, int text, const unsigned char *from, Py_ssize_t size)
{
    if (field->kind && field->kind != (text ? STRING : BYTES))
        return ELEMENT_UNUSUAL;
    unsigned char all = 0;
    for (Py_ssize_t at = 0; text && at < size; at++)
        all |= from[at];
    if (all & 0x80) { /* it must be UTF-8 */
        PyObject *read = PyUnicode_DecodeUTF8((const char *)from, size, NULL);
        if (read == NULL)
            return refused();
        Py_DECREF(read);
    }
    if (!field->kind)
        return ELEMENT_READ;
    Outcome outcome = put_varint(out, field, (uint64_t)size);
    return outcome == ELEMENT_READ ? put(out, from, size) : outcome;
}

static Outcome put_field(Buffer *out, const Field *field, const unsigned char *bytes, Py_ssize_t size, Py_ssize_t *at)
{
    unsigned char code = bytes[*at];
    const unsigned char *from = bytes + *at + 1;
    Py_ssize_t left = size - *at - 1;
    if (code >= 0x0C && code <= 0x1C) {
        int length = code >= 0x14 ? code - 0x14 : 0x14 - code;
        uint64_t number = 0;
        if (length > left)
            return ELEMENT_UNUSUAL;
        for (int place = 0; place < length; place++)
            number = number << 8 | from[place];
        if (code < 0x14)
            number = (length == 8 ? ~(uint64_t)0 : ((uint64_t)1 << (8 * length)) - 1) - number;
        *at += 1 + length;
        return put_number(out, field, code < 0x14, number);
    }
    if (code == 0x01 || code == 0x02) {
        const unsigned char *end = memchr(from, 0, (size_t)left);
        if (end == NULL || (end + 1 < bytes + size && end[1] == 0xFF))
            return ELEMENT_UNUSUAL;
        *at = end - bytes + 1;
        return put_text(out, field, code == 0x02, from, end - from);
    }
    if (code == 0x00) {
        *at += 1; /* the field is left out */
        return ELEMENT_READ;
    }
    if (code == 0x26 || code == 0x27) {
        *at += 1;
        if (!field->kind)
            return ELEMENT_READ;
        return field->kind == BOOL ? put_varint(out, field, code == 0x27) : ELEMENT_UNUSUAL;
    }
    if (code == 0x21 && left >= 8) {
        *at += 9;
        if (!field->kind)
            return ELEMENT_READ;
        if (field->kind != DOUBLE)
            return ELEMENT_UNUSUAL;
        unsigned char little[8];
        unsigned char flip = from[0] & 0x80 ? 0 : 0xFF;
        for (int place = 0; place < 8; place++)
            little[7 - place] = from[place] ^ flip;
        little[7] ^= flip ? 0 : 0x80;
        Outcome outcome = put(out, field->tag, field->tag_size);
        return outcome == ELEMENT_READ ? put(out, little, 8) : outcome;
    }
    return ELEMENT_UNUSUAL;
}

/* kept: the function in Python, what parses one, the fields as a tuple, the same as an array of Field, what parses many */
static PyObject *rows(PyObject *kept, PyObject *const *args, Py_ssize_t count, PyObject *keywords)
{
    PyObject *slow = PyTuple_GET_ITEM(kept, 0), *parse = PyTuple_GET_ITEM(kept, 1);
    const Field *fields = (const Field *)PyBytes_AS_STRING(PyTuple_GET_ITEM(kept, 3));
    Py_ssize_t width = PyTuple_GET_SIZE(PyTuple_GET_ITEM(kept, 2)), start;
    if (!usual_page(args, count, keywords, &start))
        return PyObject_Vectorcall(slow, args, (size_t)count, keywords);
    PyObject *pairs = args[0], *made = PyList_New(0);
    Outcome outcome = made == NULL ? ELEMENT_FAILED : ELEMENT_READ;
    Buffer out;
    Together together;
    buffer_init(&out);
    together_init(&together, PyTuple_GET_ITEM(kept, 4));
    /* `parse` may run Python code: the list is asked for its length each time. */
    for (Py_ssize_t row = 0; outcome == ELEMENT_READ && row < PyList_GET_SIZE(pairs); row++) {
        PyObject *key = key_of(pairs, row);
        if (key == NULL) {
            outcome = ELEMENT_UNUSUAL;
            break;
        }
        const unsigned char *bytes = (const unsigned char *)PyBytes_AS_STRING(key);
        Py_ssize_t at = start, size = PyBytes_GET_SIZE(key);
        out.size = 0;
        for (Py_ssize_t place = 0; outcome == ELEMENT_READ && place < width; place++)
            outcome = at < size ? put_field(&out, &fields[place], bytes, size, &at) : ELEMENT_UNUSUAL;
        if (outcome == ELEMENT_READ && at != size)
            outcome = ELEMENT_UNUSUAL;
        if (outcome != ELEMENT_READ)
            break;
        if (together.parse == Py_None)
            outcome = read_alone(parse, out.bytes, out.size, made);
        else
            outcome = together_add(&together, out.bytes, out.size, made);
    }
    if (outcome == ELEMENT_READ)
        outcome = together_read(&together, made);
    buffer_free(&together.bytes);
    buffer_free(&out);
    if (outcome == ELEMENT_READ)
        return made;
    Py_XDECREF(made);
    return outcome == ELEMENT_FAILED ? NULL : PyObject_Vectorcall(slow, args, (size_t)count, keywords);
}

static PyMethodDef rows_method = {
    "rows", (PyCFunction)(void (*)(void))rows, METH_FASTCALL | METH_KEYWORDS,
    "rows(pairs, start)\n--\n\nThe messages of a page's entries: recordlayer.query.plan.entry_code, in C."};

const char make_rows_doc[] =
    "make_rows(rows, parse, fields, parse_page, /)\n--\n\nThe function of `compile_rows` in C. `parse` makes a message of "
    "its bytes, `parse_page` a list of many; or None. `fields` has for each column None, or the kind of its field, a "
    "letter, and its tag.";

static PyObject *array_of_fields(PyObject *given)
{
    PyObject *array = PyBytes_FromStringAndSize(NULL, PyTuple_GET_SIZE(given) * (Py_ssize_t)sizeof(Field));
    for (Py_ssize_t place = 0; array != NULL && place < PyTuple_GET_SIZE(given); place++) {
        PyObject *one = PyTuple_GET_ITEM(given, place), *kind, *tag;
        Field field = {0, NULL, 0};
        if (one != Py_None) {
            if (!PyTuple_CheckExact(one) || PyTuple_GET_SIZE(one) != 2 ||
                !PyBytes_CheckExact(kind = PyTuple_GET_ITEM(one, 0)) || PyBytes_GET_SIZE(kind) != 1 ||
                !PyBytes_CheckExact(tag = PyTuple_GET_ITEM(one, 1))) {
                PyErr_SetString(PyExc_TypeError, "a field is None or (kind, tag)");
                Py_CLEAR(array);
                break;
            }
            field = (Field){PyBytes_AS_STRING(kind)[0], PyBytes_AS_STRING(tag), PyBytes_GET_SIZE(tag)};
        }
        memcpy(PyBytes_AS_STRING(array) + place * (Py_ssize_t)sizeof field, &field, sizeof field);
    }
    return array;
}

PyObject *make_rows(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    if (count != 4 || !PyTuple_CheckExact(args[2])) {
        PyErr_SetString(PyExc_TypeError, "make_rows takes rows, parse, a tuple of fields and parse_page");
        return NULL;
    }
    PyObject *array = array_of_fields(args[2]); /* its tags point into args[2], which is kept too */
    if (array == NULL)
        return NULL;
    PyObject *kept = PyTuple_Pack(5, args[0], args[1], args[2], array, args[3]);
    Py_DECREF(array);
    return closure(&rows_method, kept);
}

/* -- runs of entries with the same leading columns -- */

#define MOST_COLUMNS 32

static void drop(PyObject **values, Py_ssize_t count)
{
    while (count > 0)
        Py_DECREF(values[--count]);
}

static int small_numbers(PyObject *tuple, Py_ssize_t below)
{
    if (!PyTuple_CheckExact(tuple))
        return 0;
    for (Py_ssize_t at = 0; at < PyTuple_GET_SIZE(tuple); at++) {
        PyObject *number = PyTuple_GET_ITEM(tuple, at);
        Py_ssize_t value = PyLong_CheckExact(number) ? PyLong_AsSsize_t(number) : -1;
        if (value < 0 || value >= below) {
            PyErr_Clear();
            return 0;
        }
    }
    return 1;
}

/* Reads columns first to last - 1 of a key. What was read is dropped if not all of them can be. */
static Outcome read_columns(PyObject *decoders, PyObject *key, Py_ssize_t *at, Py_ssize_t first, Py_ssize_t last,
                            PyObject **columns)
{
    const unsigned char *bytes = (const unsigned char *)PyBytes_AS_STRING(key);
    Py_ssize_t size = PyBytes_GET_SIZE(key);
    for (Py_ssize_t place = first; place < last; place++) {
        Outcome outcome =
            *at < size ? read_element(decoders, key, bytes, size, at, &columns[place]) : ELEMENT_UNUSUAL;
        if (outcome != ELEMENT_READ) {
            drop(columns + first, place - first);
            return outcome;
        }
    }
    return ELEMENT_READ;
}

typedef struct {
    PyObject *groups, *ends, *lists;
    const unsigned char *last; /* the leading columns of the run, as bytes, and what they are */
    Py_ssize_t length;
    PyObject *leading[MOST_COLUMNS];
    int begun;
} Runs;

static int add_number(PyObject *list, Py_ssize_t number)
{
    PyObject *value = PyLong_FromSsize_t(number);
    if (value == NULL)
        return -1;
    int failed = PyList_Append(list, value);
    Py_DECREF(value);
    return failed;
}

/* kept: the function in Python, decoders, columns, leading ones, wanted places */
static Outcome add_to_runs(PyObject *kept, Runs *runs, PyObject *key, Py_ssize_t start, Py_ssize_t row)
{
    PyObject *decoders = PyTuple_GET_ITEM(kept, 1), *wanted = PyTuple_GET_ITEM(kept, 4), *columns[MOST_COLUMNS];
    Py_ssize_t width = PyLong_AsSsize_t(PyTuple_GET_ITEM(kept, 2));
    Py_ssize_t leading = PyLong_AsSsize_t(PyTuple_GET_ITEM(kept, 3)), at = start, size = PyBytes_GET_SIZE(key);
    const unsigned char *bytes = (const unsigned char *)PyBytes_AS_STRING(key);
    Outcome outcome;
    int same = 0;
    if (runs->begun && size - start >= runs->length && memcmp(bytes + start, runs->last, (size_t)runs->length) == 0) {
        if (size - start == runs->length)
            return ELEMENT_UNUSUAL;
        /* No element begins with ff: with it, a text that ended here in the last key goes on. */
        same = bytes[start + runs->length] != 0xFF;
    }
    if (same) {
        at += runs->length;
    } else {
        if (row && add_number(runs->ends, row) < 0)
            return ELEMENT_FAILED;
        outcome = read_columns(decoders, key, &at, 0, leading, columns);
        if (outcome != ELEMENT_READ)
            return outcome;
        if (runs->begun)
            drop(runs->leading, leading);
        memcpy(runs->leading, columns, (size_t)leading * sizeof *columns);
        runs->begun = 1;
        PyObject *group = PyBytes_FromStringAndSize((const char *)bytes + start, at - start);
        if (group == NULL || PyList_Append(runs->groups, group) < 0) {
            Py_XDECREF(group);
            return ELEMENT_FAILED;
        }
        runs->last = (const unsigned char *)PyBytes_AS_STRING(group); /* the list of groups keeps it */
        runs->length = PyBytes_GET_SIZE(group);
        Py_DECREF(group);
    }
    memcpy(columns, runs->leading, (size_t)leading * sizeof *columns); /* borrowed */
    outcome = read_columns(decoders, key, &at, leading, width, columns);
    if (outcome != ELEMENT_READ)
        return outcome;
    if (at != size)
        outcome = ELEMENT_UNUSUAL;
    for (Py_ssize_t place = 0; outcome == ELEMENT_READ && place < PyTuple_GET_SIZE(wanted); place++) {
        PyObject *value = columns[PyLong_AsSsize_t(PyTuple_GET_ITEM(wanted, place))];
        if (PyList_Append(PyList_GET_ITEM(runs->lists, place), value) < 0)
            outcome = ELEMENT_FAILED;
    }
    drop(columns + leading, width - leading);
    return outcome;
}

static PyObject *runs(PyObject *kept, PyObject *const *args, Py_ssize_t count, PyObject *keywords)
{
    Py_ssize_t wanted = PyTuple_GET_SIZE(PyTuple_GET_ITEM(kept, 4)), start, row = 0;
    if (!usual_page(args, count, keywords, &start))
        return PyObject_Vectorcall(PyTuple_GET_ITEM(kept, 0), args, (size_t)count, keywords);
    PyObject *pairs = args[0], *result = NULL;
    Runs runs = {.groups = PyList_New(0), .ends = PyList_New(0), .lists = PyList_New(wanted), .begun = 0};
    Outcome outcome = runs.groups == NULL || runs.ends == NULL || runs.lists == NULL ? ELEMENT_FAILED : ELEMENT_READ;
    for (Py_ssize_t place = 0; outcome == ELEMENT_READ && place < wanted; place++) {
        PyObject *list = PyList_New(0);
        if (list == NULL)
            outcome = ELEMENT_FAILED;
        else
            PyList_SET_ITEM(runs.lists, place, list);
    }
    for (; outcome == ELEMENT_READ && row < PyList_GET_SIZE(pairs); row++) {
        PyObject *key = key_of(pairs, row);
        if (key == NULL) {
            outcome = ELEMENT_UNUSUAL;
            break;
        }
        Py_INCREF(key);
        outcome = add_to_runs(kept, &runs, key, start, row);
        Py_DECREF(key);
    }
    if (outcome == ELEMENT_READ && row && add_number(runs.ends, row) < 0)
        outcome = ELEMENT_FAILED;
    if (outcome == ELEMENT_READ)
        result = PyTuple_Pack(3, runs.groups, runs.ends, runs.lists);
    else if (outcome == ELEMENT_UNUSUAL)
        result = PyObject_Vectorcall(PyTuple_GET_ITEM(kept, 0), args, (size_t)count, keywords);
    if (runs.begun)
        drop(runs.leading, PyLong_AsSsize_t(PyTuple_GET_ITEM(kept, 3)));
    Py_XDECREF(runs.groups);
    Py_XDECREF(runs.ends);
    Py_XDECREF(runs.lists);
    return result;
}

static PyMethodDef runs_method = {
    "runs", (PyCFunction)(void (*)(void))runs, METH_FASTCALL | METH_KEYWORDS,
    "runs(pairs, start)\n--\n\nRuns of entries of a page: recordlayer.query.plan.entry_code, in C."};

const char make_runs_doc[] =
    "make_runs(runs, decoders, columns, leading, wanted, /)\n--\n\nThe function of `compile_runs` in C. The one in "
    "Python if there are too many columns.";

PyObject *make_runs(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    int right = count == 5 && PyLong_CheckExact(args[2]) && PyLong_CheckExact(args[3]) && is_decoders(args[1]);
    Py_ssize_t columns = right ? PyLong_AsSsize_t(args[2]) : -1, leading = right ? PyLong_AsSsize_t(args[3]) : -1;
    if (columns < 0 || leading < 0 || leading > columns || !small_numbers(args[4], columns)) {
        PyErr_SetString(PyExc_TypeError, "make_runs takes what its documentation says");
        return NULL;
    }
    if (columns > MOST_COLUMNS)
        return Py_NewRef(args[0]);
    return closure(&runs_method, PyTuple_Pack(5, args[0], args[1], args[2], args[3], args[4]));
}

/* -- tuples of entries -- */

typedef struct {
    PyObject *key;    /* where the columns of the last row were read, kept */
    Py_ssize_t begin; /* where they begin in it */
    PyObject *values[MOST_COLUMNS];
    Py_ssize_t sizes[MOST_COLUMNS];
    Py_ssize_t width;
} LastRow;

/* How many bytes a column has if it has the bytes that it had in the last row; 0 if it has others. */
static Py_ssize_t same_column(const LastRow *last, Py_ssize_t place, Py_ssize_t from, const unsigned char *bytes,
                              Py_ssize_t size, Py_ssize_t at)
{
    Py_ssize_t length = last->sizes[place];
    if (size - at < length || memcmp(bytes + at, PyBytes_AS_STRING(last->key) + from, (size_t)length) != 0)
        return 0;
    /* No element begins with ff: with it, a text that ended here in the last key goes on. */
    return size - at == length || bytes[at + length] != 0xFF ? length : 0;
}

/* Reads the columns of a key. Most rows of a page begin alike: a column with the bytes of the last row is not read. */
static Outcome read_row(PyObject *decoders, PyObject *key, Py_ssize_t start, LastRow *last)
{
    const unsigned char *bytes = (const unsigned char *)PyBytes_AS_STRING(key);
    Py_ssize_t size = PyBytes_GET_SIZE(key), at = start, from = last->begin;
    int known = last->key != NULL;
    for (Py_ssize_t place = 0; place < last->width; place++) {
        Py_ssize_t before = known ? last->sizes[place] : 0, begin = at;
        Py_ssize_t same = known ? same_column(last, place, from, bytes, size, at) : 0;
        if (same) {
            at += same;
        } else {
            PyObject *value;
            Outcome outcome = at < size ? read_element(decoders, key, bytes, size, &at, &value) : ELEMENT_UNUSUAL;
            if (outcome != ELEMENT_READ)
                return outcome;
            Py_XSETREF(last->values[place], value);
            last->sizes[place] = at - begin;
        }
        from += before;
    }
    if (at != size)
        return ELEMENT_UNUSUAL;
    Py_XSETREF(last->key, Py_NewRef(key));
    last->begin = start;
    return ELEMENT_READ;
}

/* kept: the function in Python, decoders, columns, wanted places, what a null in each of them stands for */
static PyObject *tuples(PyObject *kept, PyObject *const *args, Py_ssize_t count, PyObject *keywords)
{
    PyObject *decoders = PyTuple_GET_ITEM(kept, 1), *wanted = PyTuple_GET_ITEM(kept, 3);
    PyObject *nulls = PyTuple_GET_ITEM(kept, 4);
    Py_ssize_t given = PyTuple_GET_SIZE(wanted), start, places[MOST_COLUMNS];
    if (!usual_page(args, count, keywords, &start))
        return PyObject_Vectorcall(PyTuple_GET_ITEM(kept, 0), args, (size_t)count, keywords);
    for (Py_ssize_t place = 0; place < given; place++)
        places[place] = PyLong_AsSsize_t(PyTuple_GET_ITEM(wanted, place));
    PyObject *pairs = args[0], *found = PyList_New(0);
    LastRow last = {.key = NULL, .width = PyLong_AsSsize_t(PyTuple_GET_ITEM(kept, 2))};
    Outcome outcome = found == NULL ? ELEMENT_FAILED : ELEMENT_READ;
    /* Decoders may run Python code: the list is asked for its length each time. */
    for (Py_ssize_t row = 0; outcome == ELEMENT_READ && row < PyList_GET_SIZE(pairs); row++) {
        PyObject *key = key_of(pairs, row), *made;
        if (key == NULL) {
            outcome = ELEMENT_UNUSUAL;
            break;
        }
        Py_INCREF(key);
        outcome = read_row(decoders, key, start, &last);
        Py_DECREF(key);
        if (outcome != ELEMENT_READ)
            break;
        made = PyTuple_New(given);
        if (made == NULL) {
            outcome = ELEMENT_FAILED;
            break;
        }
        for (Py_ssize_t place = 0; place < given; place++) {
            PyObject *value = last.values[places[place]];
            PyTuple_SET_ITEM(made, place, Py_NewRef(value == Py_None ? PyTuple_GET_ITEM(nulls, place) : value));
        }
        if (PyList_Append(found, made) < 0)
            outcome = ELEMENT_FAILED;
        Py_DECREF(made);
    }
    for (Py_ssize_t place = 0; place < last.width; place++)
        Py_XDECREF(last.values[place]);
    Py_XDECREF(last.key);
    if (outcome == ELEMENT_READ)
        return found;
    Py_XDECREF(found);
    if (outcome == ELEMENT_FAILED)
        return NULL;
    return PyObject_Vectorcall(PyTuple_GET_ITEM(kept, 0), args, (size_t)count, keywords);
}

static PyMethodDef tuples_method = {
    "tuples", (PyCFunction)(void (*)(void))tuples, METH_FASTCALL | METH_KEYWORDS,
    "tuples(pairs, start)\n--\n\nColumns of a page's entries as tuples: recordlayer.query.plan.entry_code, in C."};

const char make_tuples_doc[] =
    "make_tuples(tuples, decoders, columns, wanted, nulls, /)\n--\n\nThe function of `compile_tuples` in C. The one in "
    "Python if there are too many columns.";

PyObject *make_tuples(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    int right = count == 5 && PyLong_CheckExact(args[2]) && is_decoders(args[1]) && PyTuple_CheckExact(args[4]);
    Py_ssize_t columns = right ? PyLong_AsSsize_t(args[2]) : -1;
    if (columns < 0 || !small_numbers(args[3], columns) || PyTuple_GET_SIZE(args[3]) != PyTuple_GET_SIZE(args[4])) {
        PyErr_SetString(PyExc_TypeError, "make_tuples takes what its documentation says");
        return NULL;
    }
    if (columns > MOST_COLUMNS || PyTuple_GET_SIZE(args[3]) > MOST_COLUMNS)
        return Py_NewRef(args[0]);
    return closure(&tuples_method, PyTuple_Pack(5, args[0], args[1], args[2], args[3], args[4]));
}

/* -- what stands behind columns -- */

static Py_ssize_t behind(const unsigned char *bytes, Py_ssize_t size, Py_ssize_t columns, Py_ssize_t at)
{
    for (; columns > 0; columns--) {
        if (at >= size)
            return -1;
        unsigned char code = bytes[at];
        if (code >= 0x0C && code <= 0x1C) {
            at += 1 + (code >= 0x14 ? code - 0x14 : 0x14 - code);
        } else if (code == 0x01 || code == 0x02) {
            const unsigned char *found =
                at + 1 < size ? memchr(bytes + at + 1, 0, (size_t)(size - at - 1)) : NULL;
            if (found == NULL)
                return -1;
            at = found - bytes + 1;
            if (at < size && bytes[at] == 0xFF)
                return -1;
        } else {
            switch (code) {
            case 0x00:
            case 0x26:
            case 0x27:
                at += 1;
                break;
            case 0x20:
                at += 5;
                break;
            case 0x21:
                at += 9;
                break;
            case 0x30:
                at += 17;
                break;
            case 0x33:
                at += 13;
                break;
            default:
                return -1;
            }
        }
    }
    return at <= size ? at : -1;
}

static PyObject *rests(PyObject *kept, PyObject *const *args, Py_ssize_t count, PyObject *keywords)
{
    Py_ssize_t columns = -1, known;
    if (keywords == NULL && count == 3 && PyLong_CheckExact(args[2]) && (columns = PyLong_AsSsize_t(args[2])) < 0)
        PyErr_Clear();
    if (columns < 0 || !usual_page(args, 2, NULL, &known))
        return PyObject_Vectorcall(PyTuple_GET_ITEM(kept, 0), args, (size_t)count, keywords);
    PyObject *pairs = args[0], *found = PyList_New(PyList_GET_SIZE(pairs));
    for (Py_ssize_t row = 0; found != NULL && row < PyList_GET_SIZE(found); row++) {
        PyObject *key = key_of(pairs, row), *rest;
        if (key == NULL) {
            Py_DECREF(found);
            return PyObject_Vectorcall(PyTuple_GET_ITEM(kept, 0), args, (size_t)count, keywords);
        }
        Py_ssize_t size = PyBytes_GET_SIZE(key);
        Py_ssize_t at = behind((const unsigned char *)PyBytes_AS_STRING(key), size, columns, known);
        if (at > known)
            rest = PyBytes_FromStringAndSize(PyBytes_AS_STRING(key) + at, size - at);
        else
            rest = Py_NewRef(Py_None);
        if (rest == NULL)
            Py_CLEAR(found);
        else
            PyList_SET_ITEM(found, row, rest);
    }
    return found;
}

static PyMethodDef rests_method = {
    "rests", (PyCFunction)(void (*)(void))rests, METH_FASTCALL | METH_KEYWORDS,
    "rests(pairs, known, columns)\n--\n\nWhat follows columns in each key: recordlayer.index.entry, in C."};

const char make_rests_doc[] = "make_rests(rests, /)\n--\n\n`rests` of recordlayer.index.entry in C.";

PyObject *make_rests(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    if (count != 1) {
        PyErr_SetString(PyExc_TypeError, "make_rests takes the function in Python");
        return NULL;
    }
    return closure(&rests_method, PyTuple_Pack(1, args[0]));
}

/* -- records in their envelopes -- */

/* The size of the record in an envelope of one field with a tag of one byte, and where it begins; -1 for others. */
static Py_ssize_t record_in(const unsigned char *bytes, Py_ssize_t size, Py_ssize_t *begin)
{
    Py_ssize_t length = 0;
    for (Py_ssize_t at = 1; at < size && at <= 4; at++) {
        length |= (Py_ssize_t)(bytes[at] & 0x7F) << (7 * (at - 1));
        if (bytes[at] < 0x80) {
            *begin = at + 1;
            return length == size - at - 1 ? length : -1;
        }
    }
    return -1;
}

static PyObject *open_all(PyObject *kept, PyObject *const *args, Py_ssize_t count, PyObject *keywords)
{
    PyObject *slow = PyTuple_GET_ITEM(kept, 0), *parsers = PyTuple_GET_ITEM(kept, 1);
    PyObject *page_parsers = PyTuple_GET_ITEM(kept, 2);
    if (keywords != NULL || count != 1 || !PyList_CheckExact(args[0]))
        return PyObject_Vectorcall(slow, args, (size_t)count, keywords);
    PyObject *envelopes = args[0], *messages = PyList_New(0);
    Outcome outcome = messages == NULL ? ELEMENT_FAILED : ELEMENT_READ;
    Together together;
    together_init(&together, Py_None);
    /* A page of one record has nothing to share. */
    int few = PyList_GET_SIZE(envelopes) < 2;
    for (Py_ssize_t row = 0; outcome == ELEMENT_READ && row < PyList_GET_SIZE(envelopes); row++) {
        PyObject *data = PyList_GET_ITEM(envelopes, row);
        Py_ssize_t begin, size = PyBytes_CheckExact(data) ? PyBytes_GET_SIZE(data) : 0, length = -1;
        const unsigned char *bytes = size ? (const unsigned char *)PyBytes_AS_STRING(data) : NULL;
        PyObject *parser = size && bytes[0] < 0x80 ? PyTuple_GET_ITEM(parsers, bytes[0]) : Py_None;
        if (parser != Py_None)
            length = record_in(bytes, size, &begin);
        if (length < 0) {
            outcome = ELEMENT_UNUSUAL;
            break;
        }
        PyObject *many = few ? Py_None : PyTuple_GET_ITEM(page_parsers, bytes[0]);
        Py_INCREF(data); /* what parses may run Python code, which may change the list */
        if (many != together.parse) {
            outcome = together_read(&together, messages);
            together.parse = many;
        }
        if (outcome == ELEMENT_READ && many == Py_None)
            outcome = read_alone(parser, (const char *)bytes + begin, length, messages);
        else if (outcome == ELEMENT_READ)
            outcome = together_add(&together, (const char *)bytes + begin, length, messages);
        Py_DECREF(data);
    }
    if (outcome == ELEMENT_READ)
        outcome = together_read(&together, messages);
    buffer_free(&together.bytes);
    if (outcome == ELEMENT_READ)
        return messages;
    Py_XDECREF(messages);
    return outcome == ELEMENT_FAILED ? NULL : PyObject_Vectorcall(slow, args, (size_t)count, keywords);
}

static PyMethodDef open_all_method = {
    "open_all", (PyCFunction)(void (*)(void))open_all, METH_FASTCALL | METH_KEYWORDS,
    "open_all(envelopes)\n--\n\nThe records in serialised unions: recordlayer.metadata.envelope, in C."};

const char make_open_all_doc[] =
    "make_open_all(open_all, parsers, page_parsers, /)\n--\n\n`Envelopes.open_all` in C. `parsers` has 128 places: for a "
    "tag what parses its record, or None; `page_parsers` the same for what parses many.";

PyObject *make_open_all(PyObject *module, PyObject *const *args, Py_ssize_t count)
{
    if (count != 3 || !PyTuple_CheckExact(args[1]) || PyTuple_GET_SIZE(args[1]) != 128 || !PyTuple_CheckExact(args[2]) ||
        PyTuple_GET_SIZE(args[2]) != 128) {
        PyErr_SetString(PyExc_TypeError, "make_open_all takes open_all, 128 parsers and 128 parsers of pages");
        return NULL;
    }
    return closure(&open_all_method, PyTuple_Pack(3, args[0], args[1], args[2]));
}

/* Reading a range off a cursor of LMDB, and how much of it makes a chunk: kv/embedded/scanning.py.

   The cursor is that of the Python package: its methods are called from here. What they raise is raised. */

#include "core.h"

#define LOOK_UP 4096 /* rows after which somebody may interrupt */

static int below(PyObject *left, PyObject *right)
{
    Py_ssize_t a = PyBytes_GET_SIZE(left), b = PyBytes_GET_SIZE(right);
    int order = memcmp(PyBytes_AS_STRING(left), PyBytes_AS_STRING(right), (size_t)(a < b ? a : b));
    return order < 0 || (order == 0 && a < b);
}

/* What is kept: the function in Python, then the names of these methods of a cursor (scanning.py). */
enum { SET_RANGE = 1, FIRST, LAST, PREV, KEY, ITERNEXT, ITERPREV };

static PyObject *call(PyObject *kept, PyObject *cursor, int method, PyObject *argument)
{
    PyObject *args[2] = {cursor, argument};
    return PyObject_VectorcallMethod(PyTuple_GET_ITEM(kept, method), args, argument == NULL ? 1 : 2, NULL);
}

/* Whether a method of the cursor says yes; -1 if it raised. */
static int says(PyObject *kept, PyObject *cursor, int method, PyObject *argument)
{
    PyObject *answer = call(kept, cursor, method, argument);
    int yes = answer == NULL ? -1 : PyObject_IsTrue(answer);
    Py_XDECREF(answer);
    return yes;
}

/* Moves a cursor to where a range begins, or in reverse ends: whether there is something; -1 if it raised. */
static int move(PyObject *kept, PyObject *cursor, PyObject *begin, PyObject *end, int reverse)
{
    if (!reverse)
        return PyBytes_GET_SIZE(begin) ? says(kept, cursor, SET_RANGE, begin) : says(kept, cursor, FIRST, NULL);
    int there = says(kept, cursor, SET_RANGE, end);
    return there < 0 ? there : there ? says(kept, cursor, PREV, NULL) : says(kept, cursor, LAST, NULL);
}

/* How many rows are taken, and how many bytes; which of both was reached is seen in what is left. */
typedef struct {
    Py_ssize_t rows, bytes;
} Room;

/* Rows from where the cursor is, while there is room, until a key at the other side of `bound`. */
static PyObject *taken(PyObject *kept, PyObject *cursor, int reverse, PyObject *bound, Room *room)
{
    PyObject *found = PyList_New(0), *rows = NULL;
    if (found != NULL)
        rows = call(kept, cursor, reverse ? ITERPREV : ITERNEXT, NULL);
    if (rows == NULL || !PyIter_Check(rows)) {
        if (rows != NULL)
            PyErr_SetString(PyExc_TypeError, "a cursor gives an iterator");
        Py_XDECREF(rows);
        Py_XDECREF(found);
        return NULL;
    }
    for (Py_ssize_t count = 1; room->rows > 0 && room->bytes > 0; count++) {
        PyObject *row = count % LOOK_UP == 0 && PyErr_CheckSignals() < 0 ? NULL : PyIter_Next(rows);
        if (row == NULL)
            break;
        PyObject *key = NULL, *value = NULL;
        if (PyTuple_CheckExact(row) && PyTuple_GET_SIZE(row) == 2) {
            key = PyTuple_GET_ITEM(row, 0);
            value = PyTuple_GET_ITEM(row, 1);
        }
        int ends = 0;
        if (key == NULL || !PyBytes_CheckExact(key) || !PyBytes_CheckExact(value)) {
            PyErr_SetString(PyExc_TypeError, "a cursor gives pairs of bytes");
        } else if (reverse ? below(key, bound) : !below(key, bound)) {
            ends = 1;
        } else if (PyList_Append(found, row) == 0) {
            room->rows--;
            room->bytes -= PyBytes_GET_SIZE(key) + PyBytes_GET_SIZE(value);
        }
        Py_DECREF(row);
        if (ends || PyErr_Occurred())
            break;
    }
    Py_DECREF(rows);
    if (PyErr_Occurred())
        Py_CLEAR(found);
    return found;
}

/* cursor, begin, end, limit */
static int usual(PyObject *const *args, Py_ssize_t count, PyObject *names, Py_ssize_t *limit)
{
    if (names != NULL || count != 4 || !PyBytes_CheckExact(args[1]) || !PyBytes_CheckExact(args[2]) ||
        !PyLong_CheckExact(args[3]))
        return 0;
    *limit = PyLong_AsSsize_t(args[3]);
    if (*limit == -1)
        PyErr_Clear();
    return *limit > 0;
}

static PyObject *rows_of(PyObject *kept, PyObject *const *args, Py_ssize_t count, PyObject *names, int reverse)
{
    Room room = {.bytes = PY_SSIZE_T_MAX};
    if (!usual(args, count, names, &room.rows))
        return PyObject_Vectorcall(PyTuple_GET_ITEM(kept, 0), args, (size_t)count, names);
    int there = move(kept, args[0], args[1], args[2], reverse);
    if (there < 0)
        return NULL;
    return there ? taken(kept, args[0], reverse, args[reverse ? 1 : 2], &room) : PyList_New(0);
}

static PyObject *forward(PyObject *kept, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    return rows_of(kept, args, count, names, 0);
}

static PyObject *backward(PyObject *kept, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    return rows_of(kept, args, count, names, 1);
}

/* Whether the key where the cursor is lies in a range, on the side to which it moves; -1 if it raised. Most of several
   ranges are expected to be empty, and a value may be long: so no row is made to see that. */
static int begins_within(PyObject *kept, PyObject *cursor, PyObject *begin, PyObject *end, int reverse)
{
    PyObject *key = call(kept, cursor, KEY, NULL);
    if (key == NULL)
        return -1;
    int within = -1;
    if (PyBytes_CheckExact(key))
        within = reverse ? !below(key, begin) : below(key, end);
    else
        PyErr_SetString(PyExc_TypeError, "a cursor gives pairs of bytes");
    Py_DECREF(key);
    return within;
}

/* One range: its rows, and whether they end because there is no room for more. */
static PyObject *chunk_of(PyObject *kept, PyObject *cursor, PyObject *begin, PyObject *end, Room room, int reverse)
{
    int there = move(kept, cursor, begin, end, reverse);
    if (there > 0)
        there = begins_within(kept, cursor, begin, end, reverse);
    if (there < 0)
        return NULL;
    PyObject *rows = there ? taken(kept, cursor, reverse, reverse ? begin : end, &room) : PyList_New(0);
    if (rows == NULL)
        return NULL;
    PyObject *chunk = PyTuple_Pack(2, rows, room.rows <= 0 || room.bytes <= 0 ? Py_True : Py_False);
    Py_DECREF(rows);
    return chunk;
}

/* A key that lies as it is in the tree of most: neither empty, nor so long that it lies elsewhere. */
static int is_usual_key(PyObject *key, Py_ssize_t longest)
{
    return PyBytes_CheckExact(key) && PyBytes_GET_SIZE(key) > 0 && PyBytes_GET_SIZE(key) <= longest;
}

static int is_range(PyObject *range, Py_ssize_t longest)
{
    return PyTuple_CheckExact(range) && PyTuple_GET_SIZE(range) == 2 &&
           is_usual_key(PyTuple_GET_ITEM(range, 0), longest) && is_usual_key(PyTuple_GET_ITEM(range, 1), longest);
}

/* keys, longest */
static PyObject *usual_keys(PyObject *kept, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    Py_ssize_t longest;
    if (names != NULL || count != 2 || !PyList_CheckExact(args[0]) || !PyLong_CheckExact(args[1]))
        goto unusual;
    longest = PyLong_AsSsize_t(args[1]);
    if (longest == -1 && PyErr_Occurred()) {
        PyErr_Clear();
        goto unusual;
    }
    for (Py_ssize_t place = 0; place < PyList_GET_SIZE(args[0]); place++) {
        PyObject *key = PyList_GET_ITEM(args[0], place);
        if (!is_usual_key(key, longest) || (unsigned char)PyBytes_AS_STRING(key)[0] == 0xFF)
            Py_RETURN_FALSE;
    }
    Py_RETURN_TRUE;
unusual:
    return PyObject_Vectorcall(PyTuple_GET_ITEM(kept, 0), args, (size_t)count, names);
}

/* cursor, ranges, longest, limit, wanted, reverse */
static PyObject *each_chunk(PyObject *kept, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    Room room;
    Py_ssize_t longest = 0;
    PyObject *ranges = NULL, *found;
    if (names == NULL && count == 6 && PyLong_CheckExact(args[2]) && PyLong_CheckExact(args[3]) &&
        PyLong_CheckExact(args[4]) && PyBool_Check(args[5]) && (PyTuple_CheckExact(args[1]) || PyList_CheckExact(args[1]))) {
        longest = PyLong_AsSsize_t(args[2]);
        room = (Room){PyLong_AsSsize_t(args[3]), PyLong_AsSsize_t(args[4])};
        if (longest >= 0 && room.rows > 0 && room.bytes > 0)
            ranges = PySequence_Tuple(args[1]); /* a cursor may be anything, and change a list meanwhile */
        else
            PyErr_Clear();
    }
    for (Py_ssize_t place = 0; ranges != NULL && place < PyTuple_GET_SIZE(ranges); place++)
        if (!is_range(PyTuple_GET_ITEM(ranges, place), longest))
            Py_CLEAR(ranges);
    if (ranges == NULL)
        return PyErr_Occurred() ? NULL : PyObject_Vectorcall(PyTuple_GET_ITEM(kept, 0), args, (size_t)count, names);
    found = PyList_New(0);
    for (Py_ssize_t place = 0; found != NULL && place < PyTuple_GET_SIZE(ranges); place++) {
        PyObject *range = PyTuple_GET_ITEM(ranges, place);
        PyObject *chunk = chunk_of(kept, args[0], PyTuple_GET_ITEM(range, 0), PyTuple_GET_ITEM(range, 1), room,
                                   args[5] == Py_True);
        if (chunk == NULL || PyList_Append(found, chunk) < 0)
            Py_CLEAR(found);
        Py_XDECREF(chunk);
    }
    Py_DECREF(ranges);
    return found;
}

/* Of pairs how many it takes until their bytes are `wanted`, 0 if all of them are less; and the bytes of all. */
static PyObject *bytes_until(PyObject *kept, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    Py_ssize_t wanted, size = 0, enough = 0;
    if (names != NULL || count != 2 || !PyList_CheckExact(args[0]) || !PyLong_CheckExact(args[1]))
        goto unusual;
    wanted = PyLong_AsSsize_t(args[1]);
    if (wanted == -1 && PyErr_Occurred()) {
        PyErr_Clear();
        goto unusual;
    }
    for (Py_ssize_t row = 0; row < PyList_GET_SIZE(args[0]); row++) {
        PyObject *pair = PyList_GET_ITEM(args[0], row);
        if (!PyTuple_CheckExact(pair) || PyTuple_GET_SIZE(pair) != 2 || !PyBytes_CheckExact(PyTuple_GET_ITEM(pair, 0)) ||
            !PyBytes_CheckExact(PyTuple_GET_ITEM(pair, 1)))
            goto unusual;
        size += PyBytes_GET_SIZE(PyTuple_GET_ITEM(pair, 0)) + PyBytes_GET_SIZE(PyTuple_GET_ITEM(pair, 1));
        if (!enough && size >= wanted)
            enough = row + 1;
    }
    return Py_BuildValue("nn", enough, size);
unusual:
    return PyObject_Vectorcall(PyTuple_GET_ITEM(kept, 0), args, (size_t)count, names);
}

FUNCTION(forward, "(cursor, begin, end, limit)", 7, "Pairs of a range, ascending.")
FUNCTION(backward, "(cursor, begin, end, limit)", 7, "Pairs of a range, descending.")
FUNCTION(each_chunk, "(cursor, ranges, longest, limit, wanted, reverse)", 7, "Pairs of several ranges.")
FUNCTION(usual_keys, "(keys, longest)", 0, "Whether keys are such as most are.")
FUNCTION(bytes_until, "(rows, wanted)", 0, "How many pairs have so many bytes, and the bytes of all.")

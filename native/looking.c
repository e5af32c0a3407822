/* One look at a range of few pairs, from LMDB's transaction to its end: kv/embedded/scanning.py.

   The environment is that of the Python package: its methods are called from here. What they raise is raised. */

#include "core.h"

/* What is kept: the function in Python, then the names of these methods. */
enum { CURSOR = 1, ABORT, SET_RANGE, KEY, ITEM, NEXT };

static PyObject *call(PyObject *kept, int method, PyObject *object, PyObject *argument)
{
    PyObject *args[2] = {object, argument};
    return PyObject_VectorcallMethod(PyTuple_GET_ITEM(kept, method), args, argument == NULL ? 1 : 2, NULL);
}

/* Whether a method says yes; -1 if it raised. */
static int says(PyObject *kept, int method, PyObject *object, PyObject *argument)
{
    PyObject *answer = call(kept, method, object, argument);
    int yes = answer == NULL ? -1 : PyObject_IsTrue(answer);
    Py_XDECREF(answer);
    return yes;
}

/* Whether the key where the cursor is lies below `end`; -1 if it raised. */
static int is_below(PyObject *kept, PyObject *cursor, PyObject *end)
{
    PyObject *key = call(kept, KEY, cursor, NULL);
    int below = -1;
    if (key != NULL && PyBytes_CheckExact(key)) {
        Py_ssize_t a = PyBytes_GET_SIZE(key), b = PyBytes_GET_SIZE(end);
        int order = memcmp(PyBytes_AS_STRING(key), PyBytes_AS_STRING(end), (size_t)(a < b ? a : b));
        below = order < 0 || (order == 0 && a < b);
    } else if (key != NULL) {
        PyErr_SetString(PyExc_TypeError, "a cursor gives pairs of bytes");
    }
    Py_XDECREF(key);
    return below;
}

static PyObject *pairs_of(PyObject *kept, PyObject *cursor, PyObject *begin, PyObject *end, Py_ssize_t limit)
{
    PyObject *found = PyList_New(0);
    int there = found == NULL ? -1 : says(kept, SET_RANGE, cursor, begin);
    while (there > 0 && (there = is_below(kept, cursor, end)) > 0) {
        PyObject *pair = call(kept, ITEM, cursor, NULL);
        there = pair == NULL || PyList_Append(found, pair) < 0 ? -1 : PyList_GET_SIZE(found) < limit;
        Py_XDECREF(pair);
        if (there > 0)
            there = says(kept, NEXT, cursor, NULL);
    }
    if (there < 0)
        Py_CLEAR(found);
    return found;
}

/* begin_transaction, tree, begin, end, limit */
static PyObject *look(PyObject *kept, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    Py_ssize_t limit = -1;
    if (names == NULL && count == 5 && PyBytes_CheckExact(args[2]) && PyBytes_GET_SIZE(args[2]) &&
        PyBytes_CheckExact(args[3]) && PyLong_CheckExact(args[4]) && (limit = PyLong_AsSsize_t(args[4])) == -1)
        PyErr_Clear();
    if (limit <= 0)
        return PyObject_Vectorcall(PyTuple_GET_ITEM(kept, 0), args, (size_t)count, names);
    PyObject *transaction = PyObject_CallOneArg(args[0], args[1]);
    if (transaction == NULL)
        return NULL;
    PyObject *cursor = call(kept, CURSOR, transaction, NULL);
    PyObject *found = cursor == NULL ? NULL : pairs_of(kept, cursor, args[2], args[3], limit);
    PyObject *type, *value, *traceback; /* of what went wrong, while the transaction ends */
    PyErr_Fetch(&type, &value, &traceback);
    PyObject *ended = call(kept, ABORT, transaction, NULL);
    if (ended == NULL)
        Py_CLEAR(found);
    if (type != NULL)
        PyErr_Restore(type, value, traceback);
    Py_XDECREF(ended);
    Py_XDECREF(cursor);
    Py_DECREF(transaction);
    return found;
}

FUNCTION(look, "(begin_transaction, tree, begin, end, limit)", 6, "Few pairs of a range, in a transaction of its own.")

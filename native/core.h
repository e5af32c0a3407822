/* What the parts of the compiled core share.

   Every function here does what a function of the package does in Python, for the usual case only. What is unusual, and
   everything that is wrong, is left to that function: it is handed in when a part is made, and called with the same
   arguments. So there is one place that knows what is an error and how it reads, and it is not here. */

#ifndef RECORDLAYER_CORE_H
#define RECORDLAYER_CORE_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>

#define MAX_DEPTH 100 /* tuples/codes.py */

/* Bytes that grow: on the stack as long as they are few. */
typedef struct {
    char *bytes;
    Py_ssize_t size, room;
    char few[512];
} Buffer;

static inline void buffer_init(Buffer *buffer)
{
    buffer->bytes = buffer->few;
    buffer->size = 0;
    buffer->room = sizeof buffer->few;
}

static inline void buffer_free(Buffer *buffer)
{
    if (buffer->bytes != buffer->few)
        PyMem_Free(buffer->bytes);
}

int buffer_grow(Buffer *buffer, Py_ssize_t more);

/* Room for `more` bytes behind those that are there; -1 with MemoryError if there is none. */
static inline int buffer_reserve(Buffer *buffer, Py_ssize_t more)
{
    return buffer->room - buffer->size >= more ? 0 : buffer_grow(buffer, more);
}

/* Elements of packed tuples: what reading one gives. */
typedef enum {
    ELEMENT_READ,
    ELEMENT_UNUSUAL, /* leave all of it to Python; no error is set */
    ELEMENT_FAILED,  /* an error is set that Python would meet too: no memory, an interrupt */
} Outcome;

/* After a call of Python code that failed: only what is no error, an interrupt or an exit, is not for Python to meet. */
static inline Outcome refused(void)
{
    if (!PyErr_ExceptionMatches(PyExc_Exception))
        return ELEMENT_FAILED;
    PyErr_Clear();
    return ELEMENT_UNUSUAL;
}

/* Reads the element at `*at`, which is below `size` and moves behind it. `decoders` (tuples/unpacking.py) know the codes
   that are rare; `data` is the bytes object, for them. */
Outcome read_element(PyObject *decoders, PyObject *data, const unsigned char *bytes, Py_ssize_t size, Py_ssize_t *at,
                     PyObject **value);

int is_decoders(PyObject *object);

/* Packs a value behind what is there. `encode` (tuples/packing.py) knows the types that are rare; `depth` is that of the
   tuple around it. */
Outcome put_value(Buffer *out, PyObject *encode, PyObject *value, int depth);

/* A function that keeps what it was made with: its `self` is a tuple, a reference to which is taken over. */
PyObject *closure(PyMethodDef *method, PyObject *kept);

/* What makes the function `name`, which keeps the one in Python and `more` objects. */
#define FUNCTION(name, signature, more, doc)                                                                          \
    static PyMethodDef name##_method = {#name, (PyCFunction)(void (*)(void))name, METH_FASTCALL | METH_KEYWORDS,      \
                                        #name signature "\n--\n\n" doc};                                              \
    const char make_##name##_doc[] = "make_" #name "(" #name ", *with, /)\n--\n\n`" #name "` in C.";                   \
    PyObject *make_##name(PyObject *module, PyObject *const *args, Py_ssize_t count)                                  \
    {                                                                                                                 \
        if (count != 1 + more) {                                                                                      \
            PyErr_SetString(PyExc_TypeError, "make_" #name " takes the function in Python, and " #more " more");      \
            return NULL;                                                                                              \
        }                                                                                                             \
        PyObject *kept = PyTuple_New(count);                                                                          \
        for (Py_ssize_t at = 0; kept != NULL && at < count; at++) {                                                   \
            Py_INCREF(args[at]);                                                                                      \
            PyTuple_SET_ITEM(kept, at, args[at]);                                                                     \
        }                                                                                                             \
        return closure(&name##_method, kept);                                                                         \
    }

PyObject *make_pack(PyObject *module, PyObject *const *args, Py_ssize_t count);
PyObject *make_entries(PyObject *module, PyObject *const *args, Py_ssize_t count);
PyObject *make_encode_fields(PyObject *module, PyObject *const *args, Py_ssize_t count);
PyObject *make_changed(PyObject *module, PyObject *const *args, Py_ssize_t count);
PyObject *make_step(PyObject *module, PyObject *const *args, Py_ssize_t count);
PyObject *make_unpack(PyObject *module, PyObject *const *args, Py_ssize_t count);
PyObject *make_rows(PyObject *module, PyObject *const *args, Py_ssize_t count);
PyObject *make_runs(PyObject *module, PyObject *const *args, Py_ssize_t count);
PyObject *make_tuples(PyObject *module, PyObject *const *args, Py_ssize_t count);
PyObject *make_rests(PyObject *module, PyObject *const *args, Py_ssize_t count);
PyObject *make_open_all(PyObject *module, PyObject *const *args, Py_ssize_t count);
PyObject *make_forward(PyObject *module, PyObject *const *args, Py_ssize_t count);
PyObject *make_backward(PyObject *module, PyObject *const *args, Py_ssize_t count);
PyObject *make_each_chunk(PyObject *module, PyObject *const *args, Py_ssize_t count);
PyObject *make_usual_keys(PyObject *module, PyObject *const *args, Py_ssize_t count);
PyObject *make_keys_between(PyObject *module, PyObject *const *args, Py_ssize_t count);
PyObject *make_add_range(PyObject *module, PyObject *const *args, Py_ssize_t count);
PyObject *make_look(PyObject *module, PyObject *const *args, Py_ssize_t count);
PyObject *make_bytes_until(PyObject *module, PyObject *const *args, Py_ssize_t count);
PyObject *make_counted(PyObject *module, PyObject *const *args, Py_ssize_t count);
PyObject *make_lay(PyObject *module, PyObject *const *args, Py_ssize_t count);
PyObject *make_note_reads(PyObject *module, PyObject *const *args, Py_ssize_t count);
PyObject *make_replace_each(PyObject *module, PyObject *const *args, Py_ssize_t count);
PyObject *make_united(PyObject *module, PyObject *const *args, Py_ssize_t count);
PyObject *make_shared(PyObject *module, PyObject *const *args, Py_ssize_t count);
PyObject *make_bytes_of(PyObject *module, PyObject *const *args, Py_ssize_t count);
PyObject *make_record_bytes(PyObject *module, PyObject *const *args, Py_ssize_t count);

extern const char make_pack_doc[], make_unpack_doc[], make_rows_doc[], make_runs_doc[], make_rests_doc[], make_open_all_doc[];
extern const char make_tuples_doc[], make_entries_doc[], make_changed_doc[], make_step_doc[], make_encode_fields_doc[];
extern const char make_united_doc[], make_shared_doc[], make_bytes_of_doc[];
extern const char make_record_bytes_doc[];
extern const char make_forward_doc[], make_backward_doc[], make_each_chunk_doc[], make_usual_keys_doc[];
extern const char make_bytes_until_doc[];
extern const char make_look_doc[], make_keys_between_doc[], make_add_range_doc[];
extern const char make_counted_doc[], make_lay_doc[], make_note_reads_doc[], make_replace_each_doc[];

#endif

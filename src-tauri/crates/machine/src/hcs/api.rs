//! The functions of `computecore.dll` and `computenetwork.dll`, looked up at run time: a program that is linked to them does
//! not even start on a Windows without the Virtual Machine Platform, and could not say what is missing.
//!
//! Source: "HCS API reference", "HCN API reference".

use std::ffi::{CStr, c_void};
use std::io;
use std::ptr;
use std::sync::OnceLock;

use windows_sys::Win32::Foundation::LocalFree;
use windows_sys::Win32::System::LibraryLoader::{GetProcAddress, LOAD_LIBRARY_SEARCH_SYSTEM32, LoadLibraryExW};
use windows_sys::core::{GUID, HRESULT, PCWSTR, PWSTR};

use super::{document, explain};

type Handle = *mut c_void;

/// Milliseconds that an operation may take; the supervisor's own deadlines are shorter.
const PATIENCE_MS: u32 = 60_000;
const FOREVER_MS: u32 = u32::MAX;

/// `Default Switch`, which every Windows client with Hyper-V has. Source: "Hyper-V on Windows: set up a NAT network".
pub const DEFAULT_SWITCH: GUID = GUID::from_u128(0xc08cb7b8_9b3c_408e_8e30_5e16a3aeb444);

macro_rules! functions {
    ($($name:ident: fn($($argument:ty),*) $(-> $result:ty)?, $library:literal, $symbol:literal;)*) => {
        pub struct Api {
            $($name: unsafe extern "system" fn($($argument),*) $(-> $result)?,)*
        }

        impl Api {
            fn load() -> io::Result<Api> {
                Ok(Api {
                    $($name: {
                        let found = symbol($library, $symbol)?;
                        // SAFETY: the declaration is the function's of that name in the system's own library.
                        unsafe { std::mem::transmute::<unsafe extern "system" fn() -> isize, _>(found) }
                    },)*
                })
            }
        }
    };
}

functions! {
    create_operation: fn(*const c_void, *const c_void) -> Handle, "computecore.dll", c"HcsCreateOperation";
    close_operation: fn(Handle), "computecore.dll", c"HcsCloseOperation";
    wait_operation: fn(Handle, u32, *mut PWSTR) -> HRESULT, "computecore.dll", c"HcsWaitForOperationResult";
    create: fn(PCWSTR, PCWSTR, Handle, *const c_void, *mut Handle) -> HRESULT, "computecore.dll", c"HcsCreateComputeSystem";
    start: fn(Handle, Handle, PCWSTR) -> HRESULT, "computecore.dll", c"HcsStartComputeSystem";
    pause: fn(Handle, Handle, PCWSTR) -> HRESULT, "computecore.dll", c"HcsPauseComputeSystem";
    resume: fn(Handle, Handle, PCWSTR) -> HRESULT, "computecore.dll", c"HcsResumeComputeSystem";
    terminate: fn(Handle, Handle, PCWSTR) -> HRESULT, "computecore.dll", c"HcsTerminateComputeSystem";
    close: fn(Handle), "computecore.dll", c"HcsCloseComputeSystem";
    wait_exit: fn(Handle, u32, *mut PWSTR) -> HRESULT, "computecore.dll", c"HcsWaitForComputeSystemExit";
    grant: fn(PCWSTR, PCWSTR) -> HRESULT, "computecore.dll", c"HcsGrantVmAccess";
    properties: fn(PCWSTR, *mut PWSTR) -> HRESULT, "computecore.dll", c"HcsGetServiceProperties";
    open_network: fn(*const GUID, *mut Handle, *mut PWSTR) -> HRESULT, "computenetwork.dll", c"HcnOpenNetwork";
    close_network: fn(Handle) -> HRESULT, "computenetwork.dll", c"HcnCloseNetwork";
    create_endpoint: fn(Handle, *const GUID, PCWSTR, *mut Handle, *mut PWSTR) -> HRESULT, "computenetwork.dll", c"HcnCreateEndpoint";
    close_endpoint: fn(Handle) -> HRESULT, "computenetwork.dll", c"HcnCloseEndpoint";
    delete_endpoint: fn(*const GUID, *mut PWSTR) -> HRESULT, "computenetwork.dll", c"HcnDeleteEndpoint";
}

fn symbol(library: &str, name: &CStr) -> io::Result<unsafe extern "system" fn() -> isize> {
    let wide = wide(library);
    // SAFETY: the name ends with a zero; only the system's directory is searched. The library stays loaded for ever.
    let module = unsafe { LoadLibraryExW(wide.as_ptr(), ptr::null_mut(), LOAD_LIBRARY_SEARCH_SYSTEM32) };
    if module.is_null() {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: a loaded module, and a name that ends with a zero.
    unsafe { GetProcAddress(module, name.as_ptr().cast()) }.ok_or_else(io::Error::last_os_error)
}

pub fn wide(text: &str) -> Vec<u16> {
    text.encode_utf16().chain([0]).collect()
}

/// Takes a text that the service allocated.
fn take(text: PWSTR) -> String {
    if text.is_null() {
        return String::new();
    }
    // SAFETY: the service's texts end with a zero, belong to us and are freed with LocalFree, once.
    unsafe {
        let len = (0..).take_while(|at| *text.add(*at) != 0).count();
        let taken = String::from_utf16_lossy(std::slice::from_raw_parts(text, len));
        LocalFree(text.cast());
        taken
    }
}

/// A running system's handle; closing it ends the machine, as its document says.
pub struct System {
    api: &'static Api,
    handle: Handle,
}

// SAFETY: the service's handles may be used from any thread; each call is complete in itself.
unsafe impl Send for System {}
// SAFETY: as above.
unsafe impl Sync for System {}

impl Drop for System {
    fn drop(&mut self) {
        // SAFETY: ours, closed once.
        unsafe { (self.api.close)(self.handle) }
    }
}

impl Api {
    pub fn get() -> io::Result<&'static Api> {
        static API: OnceLock<Api> = OnceLock::new();
        if let Some(api) = API.get() {
            return Ok(api);
        }
        let api = Api::load()?;
        Ok(API.get_or_init(|| api))
    }

    /// Whether the service answers; its error code if not. Blocking.
    pub fn service_properties(&self) -> Result<(), HRESULT> {
        let mut text = ptr::null_mut();
        // SAFETY: no query, room for the result.
        let code = unsafe { (self.properties)(ptr::null(), &mut text) };
        take(text);
        if code < 0 { Err(code) } else { Ok(()) }
    }

    /// Lets the machine's own account read and write a file. Blocking.
    pub fn grant(&self, id: &str, path: &str) -> io::Result<()> {
        let (id, path) = (wide(id), wide(path));
        // SAFETY: both texts end with a zero.
        checked(unsafe { (self.grant)(id.as_ptr(), path.as_ptr()) }, None)
    }

    /// Makes a system, which is off. Blocking.
    pub fn create(&'static self, id: &str, document: &str) -> io::Result<System> {
        let (id, document) = (wide(id), wide(document));
        let mut handle = ptr::null_mut();
        self.operation(|operation| {
            // SAFETY: both texts end with a zero; default security; room for the handle.
            unsafe { (self.create)(id.as_ptr(), document.as_ptr(), operation, ptr::null(), &mut handle) }
        })?;
        Ok(System { api: self, handle })
    }

    /// Begins an operation and waits for its result.
    fn operation(&self, begin: impl FnOnce(Handle) -> HRESULT) -> io::Result<()> {
        // SAFETY: no context, no callback.
        let operation = unsafe { (self.create_operation)(ptr::null(), ptr::null()) };
        if operation.is_null() {
            return Err(io::ErrorKind::OutOfMemory.into());
        }
        let mut text = ptr::null_mut();
        let mut code = begin(operation);
        if code >= 0 {
            // SAFETY: the operation was begun; room for the result.
            code = unsafe { (self.wait_operation)(operation, PATIENCE_MS, &mut text) };
        }
        // SAFETY: ours, closed once.
        unsafe { (self.close_operation)(operation) };
        checked(code, document::failure(&take(text)))
    }

    /// An endpoint on the system's own switch. Blocking.
    pub fn create_endpoint(&self, id: &GUID, settings: &str) -> io::Result<()> {
        let settings = wide(settings);
        let (mut network, mut endpoint, mut text) = (ptr::null_mut(), ptr::null_mut(), ptr::null_mut());
        // SAFETY: room for handle and text.
        checked(unsafe { (self.open_network)(&DEFAULT_SWITCH, &mut network, &mut text) }, None)?;
        // SAFETY: an open network, a text that ends with a zero, room for the results; both handles are closed once.
        let code = unsafe {
            let code = (self.create_endpoint)(network, id, settings.as_ptr(), &mut endpoint, &mut text);
            if !endpoint.is_null() {
                (self.close_endpoint)(endpoint);
            }
            (self.close_network)(network);
            code
        };
        checked(code, document::failure(&take(text)))
    }

    /// Blocking. An endpoint that is gone already is fine.
    pub fn delete_endpoint(&self, id: &GUID) {
        let mut text = ptr::null_mut();
        // SAFETY: room for the text.
        let code = unsafe { (self.delete_endpoint)(id, &mut text) };
        if code < 0 {
            tracing::debug!(code, said = take(text), "network endpoint stays");
        }
    }
}

impl System {
    /// Blocking, as all of these.
    pub fn start(&self) -> io::Result<()> {
        // SAFETY: an open system, a new operation, no options (so below, too).
        self.api.operation(|operation| unsafe { (self.api.start)(self.handle, operation, ptr::null()) })
    }

    pub fn pause(&self) -> io::Result<()> {
        // SAFETY: see `start`.
        self.api.operation(|operation| unsafe { (self.api.pause)(self.handle, operation, ptr::null()) })
    }

    pub fn resume(&self) -> io::Result<()> {
        // SAFETY: see `start`.
        self.api.operation(|operation| unsafe { (self.api.resume)(self.handle, operation, ptr::null()) })
    }

    pub fn terminate(&self) -> io::Result<()> {
        // SAFETY: see `start`.
        self.api.operation(|operation| unsafe { (self.api.terminate)(self.handle, operation, ptr::null()) })
    }

    /// Waits for its end; the service's words about it.
    pub fn wait_exit(&self) -> String {
        let mut text = ptr::null_mut();
        // SAFETY: an open system, room for the text.
        let code = unsafe { (self.api.wait_exit)(self.handle, FOREVER_MS, &mut text) };
        let said = take(text);
        if code < 0 && said.is_empty() { explain::error(code, None).to_string() } else { said }
    }
}

fn checked(code: HRESULT, said: Option<String>) -> io::Result<()> {
    if code < 0 { Err(explain::error(code, said)) } else { Ok(()) }
}

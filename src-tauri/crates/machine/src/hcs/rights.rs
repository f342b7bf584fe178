//! What this process's token allows.

use windows_sys::Win32::Security::{
    CheckTokenMembership, CreateWellKnownSid, SECURITY_MAX_SID_SIZE, WELL_KNOWN_SID_TYPE, WinBuiltinAdministratorsSid,
    WinBuiltinHyperVAdminsSid,
};

use super::explain::Rights;

pub fn of_this_user() -> Rights {
    Rights {
        hyper_v_administrator: is_member(WinBuiltinHyperVAdminsSid),
        administrator: is_member(WinBuiltinAdministratorsSid),
    }
}

fn is_member(group: WELL_KNOWN_SID_TYPE) -> bool {
    // Wide elements: a SID wants the alignment of a 32-bit number.
    let mut sid = [0_u32; SECURITY_MAX_SID_SIZE as usize / 4];
    let mut len = SECURITY_MAX_SID_SIZE;
    let mut member = 0;
    // SAFETY: the buffer holds the largest SID and its length is told; a null token is this thread's own.
    unsafe {
        CreateWellKnownSid(group, std::ptr::null_mut(), sid.as_mut_ptr().cast(), &mut len) != 0
            && CheckTokenMembership(std::ptr::null_mut(), sid.as_mut_ptr().cast(), &mut member) != 0
            && member != 0
    }
}
